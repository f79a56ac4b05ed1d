//! The helper thread, for reads of the machine, which cannot be cancelled.
//!
//! NVML and reads below a dead mount may hang for ever. They run on a thread of their own while the worker
//! waits for a limited time. A call that hangs keeps its thread, and no other is started until it returns. So
//! this library has one thread that stays, one for each request that is on its way (an exporter has one at a
//! time), and one that reads the machine (and one more while a file that a variable names does not answer).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::thread;

/// The parts of a wait. A process that was stopped, or a machine that was suspended, loses one of them.
const PARTS: u32 = 10;

/// Waits for a value at most `wait` of the time in which this process runs.
///
/// The clock goes on while a process stands still, and so does not say that the other side had time to answer.
///
/// # Errors
///
/// As [`Receiver::recv_timeout`].
pub(crate) fn receive<T>(from: &Receiver<T>, wait: Duration) -> Result<T, RecvTimeoutError> {
    let part = wait.checked_div(PARTS).unwrap_or(wait);
    for _ in 1..PARTS {
        match from.recv_timeout(part) {
            Err(RecvTimeoutError::Timeout) => {}
            result => return result,
        }
    }
    from.recv_timeout(part)
}

/// Runs one call at a time on a short-lived thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct Helper {
    busy: Arc<AtomicBool>,
}

impl Helper {
    /// Runs `call` and waits for it at most `wait`, as [`receive`] does.
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
        let result = receive(&receiver, wait).ok()?.ok();
        // The thread has sent its result and is about to end.
        let _ = thread.join();
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(120);

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
    fn a_value_is_received_in_any_part_of_a_wait_and_an_end_at_once() {
        let (sender, receiver) = mpsc::sync_channel(1);
        let wait = Duration::from_millis(1);
        assert_eq!(receive(&receiver, wait), Err(RecvTimeoutError::Timeout));
        let late = std::thread::spawn(move || sender.send(7));
        assert_eq!(receive(&receiver, SOON), Ok(7));
        assert!(late.join().unwrap().is_ok());
        assert_eq!(receive(&receiver, SOON), Err(RecvTimeoutError::Disconnected));
    }

    #[test]
    fn panics_are_caught() {
        let helper = Helper::default();
        let result: Option<()> = helper.run(SOON, || panic!("inside"));
        assert_eq!(result, None);
        assert_eq!(helper.run(SOON, || 1), Some(1));
    }
}
