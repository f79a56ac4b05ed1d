//! Keeps signals from threads: those that our own writes raise, and those that are the engine's.

/// While it lives, a write of this thread past a limit (`SIGXFSZ`) or to a closed pipe (`SIGPIPE`) fails
/// and does no more. The engine's handlers stay as they are.
#[cfg(unix)]
pub(crate) struct QuietSignals {
    mask: libc::sigset_t,
    /// Signals that waited already, and are not ours.
    foreign: libc::sigset_t,
}

#[cfg(unix)]
impl QuietSignals {
    const SIGNALS: [libc::c_int; 2] = [libc::SIGXFSZ, libc::SIGPIPE];

    /// Blocks the signals on this thread.
    pub(crate) fn begin() -> Self {
        let mut mask = signals(&[]);
        let foreign = pending();
        // SAFETY: both pointers are valid for the whole call.
        unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, &signals(&Self::SIGNALS), &raw mut mask);
        }
        Self { mask, foreign }
    }
}

#[cfg(unix)]
impl Drop for QuietSignals {
    fn drop(&mut self) {
        for signal in Self::SIGNALS {
            // SAFETY: the pointers are valid for the whole calls. Taking a signal does not wait: it is there,
            // and on Linux the time limit is zero.
            unsafe {
                if libc::sigismember(&pending(), signal) != 1
                    || libc::sigismember(&raw const self.foreign, signal) == 1
                {
                    continue;
                }
                #[cfg(target_os = "linux")]
                libc::sigtimedwait(
                    &signals(&[signal]),
                    core::ptr::null_mut(),
                    &core::mem::zeroed(),
                );
                #[cfg(not(target_os = "linux"))]
                libc::sigwait(&signals(&[signal]), &mut 0);
            }
        }
        // SAFETY: the mask is the one that the thread had.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.mask, core::ptr::null_mut());
        }
    }
}

/// While it lives, this thread gets no signal that is sent to the process, so that threads of the engine do. Those that
/// a fault of the thread itself raises stay as they are, because the engine may print its stack then.
#[cfg(unix)]
pub(crate) struct NoSignals(libc::sigset_t);

#[cfg(unix)]
impl NoSignals {
    const FAULTS: [libc::c_int; 5] =
        [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP];

    pub(crate) fn begin() -> Self {
        let (mut all, mut before) = (signals(&[]), signals(&[]));
        // SAFETY: the pointers are valid for the whole calls.
        unsafe {
            libc::sigfillset(&raw mut all);
            for fault in Self::FAULTS {
                libc::sigdelset(&raw mut all, fault);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, &raw mut before);
        }
        Self(before)
    }
}

#[cfg(unix)]
impl Drop for NoSignals {
    fn drop(&mut self) {
        // SAFETY: the mask is the one that the thread had.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, core::ptr::null_mut());
        }
    }
}

/// Returns a set of signals.
#[cfg(unix)]
fn signals(which: &[libc::c_int]) -> libc::sigset_t {
    // SAFETY: a set is made of integers, for which zero is valid, and the calls only write to it.
    unsafe {
        let mut set = core::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in which {
            libc::sigaddset(&raw mut set, *signal);
        }
        set
    }
}

/// Returns the signals that wait for this thread or for the process.
#[cfg(unix)]
fn pending() -> libc::sigset_t {
    let mut set = signals(&[]);
    // SAFETY: the pointer is valid for the whole call.
    unsafe { libc::sigpending(&raw mut set) };
    set
}

/// Only Unix sends signals to threads.
#[cfg(not(unix))]
pub(crate) struct NoSignals;

#[cfg(not(unix))]
impl NoSignals {
    pub(crate) const fn begin() -> Self {
        Self
    }
}

/// Only Unix raises signals for writes.
#[cfg(not(unix))]
pub(crate) struct QuietSignals;

#[cfg(not(unix))]
impl QuietSignals {
    pub(crate) const fn begin() -> Self {
        Self
    }
}
