//! Locks of files: one for a moment, and one for as long as a process lives.

use std::fs::File;
use std::io;

/// The lock of a file, until it is dropped.
#[derive(Debug)]
pub(crate) struct FileLock<'a>(&'a File);

/// How often the lock of a file is tried, and the pause between. Unit of the pause: milliseconds. Together they
/// are half of what the files of the machine may take, because the reader of the machine is to come to its end.
#[cfg(unix)]
const LOCK_TRIES: (usize, libc::c_int) = (50, 10);

/// Waits for the lock of a file, about half a second at most, because a process that was stopped may hold it for ever.
/// Only Unix has such a lock.
///
/// # Errors
///
/// [`io::ErrorKind::WouldBlock`] if another process holds it all the time.
pub(crate) fn lock(file: &File) -> io::Result<FileLock<'_>> {
    #[cfg(unix)]
    for rest in (0..LOCK_TRIES.0).rev() {
        let how = libc::LOCK_EX | libc::LOCK_NB;
        // SAFETY: the descriptor is open for the whole call, which touches no memory.
        if unsafe { libc::flock(std::os::fd::AsRawFd::as_raw_fd(file), how) } == 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if rest == 0 || error.kind() != io::ErrorKind::WouldBlock {
            return Err(error);
        }
        // SAFETY: without descriptors it is a pause, and no memory is touched.
        unsafe { libc::poll(core::ptr::null_mut(), 0, LOCK_TRIES.1) };
    }
    Ok(FileLock(file))
}

impl Drop for FileLock<'_> {
    fn drop(&mut self) {
        // To close the file is not enough: a child that was forked meanwhile has it open, too.
        #[cfg(unix)]
        // SAFETY: as above.
        unsafe {
            libc::flock(std::os::fd::AsRawFd::as_raw_fd(self.0), libc::LOCK_UN);
        }
        let _ = self.0;
    }
}

/// Takes the lock of a file for this process, which holds it until it closes any descriptor of the file. A forked
/// child does not hold it. Returns `false` if another process does.
///
/// # Errors
///
/// The file system has no locks.
#[cfg(feature = "http")]
pub(crate) fn own(file: &File) -> io::Result<bool> {
    #[cfg(unix)]
    {
        let mut lock = whole_file();
        let file = std::os::fd::AsRawFd::as_raw_fd(file);
        // SAFETY: the descriptor is open and the pointer valid for the whole call.
        if unsafe { libc::fcntl(file, libc::F_SETLK, &raw mut lock) } == 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EACCES | libc::EAGAIN) => Ok(false),
            _ => Err(error),
        }
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Returns the process that holds the lock of [`own`], 0 if its id is unknown. `None` if no other process does, or if
/// nothing can tell.
#[cfg(feature = "http")]
pub(crate) fn holder(file: &File) -> Option<u32> {
    #[cfg(unix)]
    {
        let mut lock = whole_file();
        let file = std::os::fd::AsRawFd::as_raw_fd(file);
        // SAFETY: the descriptor is open and the pointer valid for the whole call.
        if unsafe { libc::fcntl(file, libc::F_GETLK, &raw mut lock) } != 0
            || lock.l_type == libc::F_UNLCK as libc::c_short
        {
            return None;
        }
        Some(u32::try_from(lock.l_pid).unwrap_or(0))
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        None
    }
}

/// Returns the question for a lock of a whole file.
#[cfg(all(unix, feature = "http"))]
fn whole_file() -> libc::flock {
    // SAFETY: `flock` is made of integers, for which zero is valid; zero lengths mean the whole file.
    let mut lock: libc::flock = unsafe { core::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock
}

#[cfg(all(test, unix))]
mod tests {
    use super::lock;

    #[test]
    fn a_lock_that_another_holds_for_ever_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let open = || std::fs::File::create(folder.path().join("x")).unwrap();
        let (one, other) = (open(), open());
        let held = lock(&one).unwrap();
        let error = lock(&other).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        drop(held);
        lock(&other).unwrap();
    }
}
