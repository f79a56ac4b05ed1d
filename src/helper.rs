//! The helper thread, for calls that cannot be cancelled.
//!
//! `getaddrinfo`, NVML and reads below a dead mount may hang for ever. They run on a thread of their
//! own while the worker waits for a limited time. A call that hangs keeps its thread, and no other is
//! started until it returns, so this library has two threads at most (and one
//! more while a file that a variable names does not answer).
//!
//! A detector that hangs may never return, and messages must leave all the same. Names are then looked
//! up on the worker, within the C library's own time limits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use crate::thread;

/// The purpose of a helper thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Task {
    /// Reading the machine.
    Probe = 1,
    /// Looking up a name.
    LookUp = 2,
}

impl Task {
    /// Returns the name of the thread.
    const fn name(self) -> &'static str {
        match self {
            Self::Probe => "otel-usage-probe",
            Self::LookUp => "otel-usage-dns",
        }
    }
}

/// The value of [`Helper::busy`] if no helper thread runs.
const FREE: u8 = 0;

/// Runs one call at a time on a short-lived thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct Helper {
    /// [`FREE`], or the task of the thread that runs.
    busy: Arc<AtomicU8>,
}

impl Helper {
    /// Runs `call` and waits for it at most `wait`.
    ///
    /// Returns `None` if the call takes longer or panics, if no thread can be started, or if an
    /// earlier call still hangs.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        task: Task,
        wait: Duration,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let taken =
            self.busy.compare_exchange(FREE, task as u8, Ordering::AcqRel, Ordering::Acquire);
        if let Err(busy) = taken {
            let instead = task == Task::LookUp && busy == Task::Probe as u8;
            return instead.then(|| catch_unwind(AssertUnwindSafe(call)).ok()).flatten();
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        let busy = Arc::clone(&self.busy);
        let spawned = thread::spawn(task.name(), move || {
            let result = catch_unwind(AssertUnwindSafe(call));
            busy.store(FREE, Ordering::Release);
            let _ = sender.send(result);
        });
        let Ok(thread) = spawned else {
            self.busy.store(FREE, Ordering::Release);
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

    /// Returns a helper with a call that hangs until the sender is used.
    fn hanging(task: Task) -> (Helper, mpsc::Sender<()>) {
        let helper = Helper::default();
        let (release, held) = mpsc::channel::<()>();
        let hung = helper.run(task, Duration::from_millis(1), move || held.recv().is_ok());
        assert_eq!(hung, None);
        (helper, release)
    }

    #[test]
    fn hanging_calls_are_abandoned_and_no_second_thread_starts() {
        for task in [Task::Probe, Task::LookUp] {
            let (helper, release) = hanging(task);
            assert_eq!(helper.run(task, SOON, || 1), None);
            release.send(()).unwrap();
            while helper.busy.load(Ordering::Acquire) != FREE {
                std::thread::yield_now();
            }
            assert_eq!(helper.run(task, SOON, || 1), Some(1));
        }
    }

    #[test]
    fn names_are_looked_up_while_a_detector_hangs() {
        let (helper, _release) = hanging(Task::Probe);
        let here = std::thread::current().id();
        let there = helper.run(Task::LookUp, SOON, || std::thread::current().id());
        assert_eq!(there, Some(here), "no third thread");
        let panicked: Option<()> = helper.run(Task::LookUp, SOON, || panic!("inside"));
        assert_eq!(panicked, None);
        let (helper, _release) = hanging(Task::LookUp);
        assert_eq!(helper.run(Task::Probe, SOON, || 1), None);
    }

    #[test]
    fn panics_are_caught() {
        let helper = Helper::default();
        let result: Option<()> = helper.run(Task::Probe, SOON, || panic!("inside"));
        assert_eq!(result, None);
        assert_eq!(helper.run(Task::Probe, SOON, || 1), Some(1));
    }
}
