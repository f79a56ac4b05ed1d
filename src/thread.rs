//! Starts the threads of the library: their stacks and their signals do not depend on the engine.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{Builder, JoinHandle};

use crate::sys::{NoSignals, QuietSignals};

/// Bytes of the stack of each thread, whatever `RUST_MIN_STACK` says.
///
/// Reading the machine takes between 128 and 256 KiB in a debug build, and is the deepest path of our own.
/// TLS, exporters of the engine and the drivers of accelerators run on these threads too. Only pages that
/// are used take memory.
const STACK_BYTES: usize = 2 * 1024 * 1024;

/// Looks for a lock before it is given up.
const LOOKS: usize = 10_000;

/// Takes the lock of a variable of the whole process, which its threads hold for less than a microsecond.
///
/// Returns `None` in a child that was forked at that moment: there the lock is never free.
pub(crate) fn lock_unless_forked<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    for _ in 0..LOOKS {
        match mutex.try_lock() {
            Ok(locked) => return Some(locked),
            Err(TryLockError::Poisoned(locked)) => return Some(PoisonError::into_inner(locked)),
            Err(TryLockError::WouldBlock) => std::thread::yield_now(),
        }
    }
    None
}

/// Starts a thread on which no handler of the engine ever runs, and a write that fails raises no signal.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    // A thread begins with the signals that its maker blocks.
    let _inherited = NoSignals::begin();
    Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(move || {
        let _quiet = QuietSignals::begin();
        run();
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_never_free_is_given_up() {
        let mutex = Mutex::new(1);
        let held = mutex.lock().unwrap();
        assert!(lock_unless_forked(&mutex).is_none());
        drop(held);
        assert_eq!(lock_unless_forked(&mutex).map(|locked| *locked), Some(1));
    }
}
