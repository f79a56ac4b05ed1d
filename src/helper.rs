//! The helper thread, for reads of the machine, which cannot be cancelled.
//!
//! NVML and reads below a dead mount may hang for ever. They run on a thread of their own while the worker
//! waits for a limited time. A call that hangs keeps its thread, and no other is started until it returns. So
//! this library has one thread that stays, one for each request that is on its way (an exporter has one at a
//! time), and one that reads the machine (and one more while a file that a variable names does not answer).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use crate::thread;

/// Runs one call at a time on a short-lived thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct Helper {
    busy: Arc<AtomicBool>,
}

impl Helper {
    /// Runs `call` and waits for it at most `wait`.
    ///
    /// Returns `None` if the call takes longer or panics, if no thread can be started, or if an
    /// earlier call still hangs.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        wait: Duration,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if self.busy.swap(true, Ordering::AcqRel) {
            return None;
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        let busy = Arc::clone(&self.busy);
        let spawned = thread::spawn("otel-usage-probe", move || {
            let result = catch_unwind(AssertUnwindSafe(call));
            busy.store(false, Ordering::Release);
            let _ = sender.send(result);
        });
        let Ok(thread) = spawned else {
            self.busy.store(false, Ordering::Release);
            return None;
        };
        let result = receiver.recv_timeout(wait).ok()?.ok();
        // The thread has sent its result and is about to end.
        let _ = thread.join();
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn hanging_calls_are_abandoned_and_no_second_thread_starts() {
        let helper = Helper::default();
        let (release, held) = mpsc::channel::<()>();
        let hung = helper.run(Duration::from_millis(1), move || held.recv().is_ok());
        assert_eq!(hung, None);
        assert_eq!(helper.run(SOON, || 1), None);
        release.send(()).unwrap();
        while helper.busy.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        assert_eq!(helper.run(SOON, || 1), Some(1));
    }

    #[test]
    fn panics_are_caught() {
        let helper = Helper::default();
        let result: Option<()> = helper.run(SOON, || panic!("inside"));
        assert_eq!(result, None);
        assert_eq!(helper.run(SOON, || 1), Some(1));
    }
}
