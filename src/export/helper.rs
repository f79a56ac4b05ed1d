//! The helper thread: for calls that nobody can cancel.
//!
//! `getaddrinfo`, NVML and reads below a mount that no longer answers may hang for ever. They run
//! on a thread of their own while the worker waits for a limited time. A call that hangs keeps its
//! thread, and no other is started until it comes back: at most two threads, whatever hangs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// Runs one call at a time on a short-lived thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct Helper {
    busy: Arc<AtomicBool>,
}

impl Helper {
    /// Runs `call` and waits for it at most `wait`. `None`: it takes longer, it panicked, no thread
    /// could be started, or an earlier call still hangs.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        name: &str,
        wait: Duration,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if self.busy.swap(true, Ordering::AcqRel) {
            return None;
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        let busy = Arc::clone(&self.busy);
        let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(call));
            busy.store(false, Ordering::Release);
            let _ = sender.send(result);
        });
        let Ok(thread) = spawned else {
            self.busy.store(false, Ordering::Release);
            return None;
        };
        let result = receiver.recv_timeout(wait).ok()?.ok();
        // It has sent its result and is about to end.
        let _ = thread.join();
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_hangs_is_left_behind_and_no_second_one_started() {
        let helper = Helper::default();
        let (release, held) = mpsc::channel::<()>();
        let hung = helper.run("hang", Duration::from_millis(1), move || held.recv().is_ok());
        assert_eq!(hung, None);
        assert_eq!(helper.run("next", Duration::from_secs(5), || 1), None);
        release.send(()).unwrap();
        while helper.busy.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        assert_eq!(helper.run("next", Duration::from_secs(5), || 1), Some(1));
    }

    #[test]
    fn a_panic_stays_inside() {
        let helper = Helper::default();
        let result: Option<()> = helper.run("panic", Duration::from_secs(5), || panic!("inside"));
        assert_eq!(result, None);
        assert_eq!(helper.run("next", Duration::from_secs(5), || 1), Some(1));
    }
}
