//! Files of the operator: bounded reads, and writes that stay private whatever the process's umask is.
//!
//! Each function takes regular files only and never waits for the other end of a pipe. [`read`] has a time
//! limit too, because a variable may name a file below a network mount whose server is gone.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;
use std::time::SystemTime;

/// Reads a whole file, unless it is longer than `limit` bytes, within a second.
///
/// # Errors
///
/// As [`read_start`], and `FileTooLarge` or `TimedOut`.
#[cfg(any(feature = "config-file", feature = "http"))]
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let path = path.to_owned();
    let bytes = in_time::run(move || read_start(&path, limit))?;
    if bytes.len() as u64 > limit {
        let what = format!("it is longer than {limit} bytes");
        return Err(io::Error::new(ErrorKind::FileTooLarge, what));
    }
    Ok(bytes)
}

/// Runs a read of the file system within a second.
///
/// # Errors
///
/// `TimedOut`, and those of the read.
#[cfg(feature = "http")]
pub(crate) fn in_time<T: Send + 'static>(
    read: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    in_time::run(read)
}

/// Runs a read on a short-lived thread, because a read below a dead mount cannot be cancelled.
///
/// A thread costs as much as all of `init`. Only files that a variable names are read on one. The files of
/// the switches are not, because they are asked before the first thread.
#[cfg(any(feature = "config-file", feature = "http"))]
mod in_time {
    use std::io::{self, ErrorKind};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    /// A second is what the files of the machine have, too.
    const WAIT: Duration = Duration::from_secs(1);

    /// The number of reads that were given up and still hang. While there is one, nothing else is tried, so
    /// that no more threads hang in the end than read at once.
    static HUNG: AtomicUsize = AtomicUsize::new(0);

    pub(super) fn run<T: Send + 'static>(
        read: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        within(WAIT, &HUNG, read)
    }

    fn within<T: Send + 'static>(
        wait: Duration,
        hung: &'static AtomicUsize,
        read: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        if hung.load(Ordering::Acquire) > 0 {
            return Err(no_answer("an earlier read still hangs"));
        }
        // Without a buffer, the thread learns for certain whether its result was taken.
        let (sender, receiver) = mpsc::sync_channel(0);
        let thread = crate::thread::spawn("otel-usage-read", move || {
            if sender.send(read()).is_err() {
                hung.fetch_sub(1, Ordering::AcqRel);
            }
        })?;
        match crate::helper::receive(&receiver, wait) {
            Ok(result) => {
                // The thread is about to end.
                let _ = thread.join();
                result
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(io::Error::other("the read panicked")),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                // Counted before the receiver goes, which lets the thread count itself out.
                hung.fetch_add(1, Ordering::AcqRel);
                Err(no_answer("the file does not answer"))
            }
        }
    }

    fn no_answer(what: &str) -> io::Error {
        io::Error::new(ErrorKind::TimedOut, format!("{what}; is a network mount gone?"))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_read_that_hangs_is_given_up_and_no_second_thread_hangs() {
            static COUNT: AtomicUsize = AtomicUsize::new(0);
            let read = |wait, call: Box<dyn FnOnce() -> io::Result<u8> + Send>| {
                within(wait, &COUNT, call).map_err(|error| error.kind())
            };
            let long = Duration::from_secs(120);
            let (release, held) = mpsc::channel::<()>();
            let hang = move || {
                let _ = held.recv();
                Ok(1)
            };
            assert_eq!(read(Duration::from_millis(1), Box::new(hang)), Err(ErrorKind::TimedOut));
            assert_eq!(read(long, Box::new(|| Ok(2))), Err(ErrorKind::TimedOut));
            drop(release);
            while COUNT.load(Ordering::Acquire) > 0 {
                std::thread::yield_now();
            }
            assert_eq!(read(long, Box::new(|| Ok(3))), Ok(3));
            assert_eq!(read(long, Box::new(|| panic!("inside"))), Err(ErrorKind::Other));
            assert_eq!(COUNT.load(Ordering::Acquire), 0);
        }
    }
}

/// Reads the first `limit + 1` bytes of a file, so that a longer file can be told from its start.
///
/// # Errors
///
/// `InvalidInput` for a pipe, a device or anything else that is no regular file, and those of the system.
pub(crate) fn read_start(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    let file = regular(options.open(path)?)?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Makes a folder and those above it, unless they are there.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Opens a file for writing, or makes it.
///
/// # Errors
///
/// As [`read_start`]. A symbolic link that another user has put in the file's place is refused too.
pub(crate) fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW);
        match options.open(path) {
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => check_link(path)?,
            opened => return regular(opened?),
        }
        options.custom_flags(libc::O_NONBLOCK);
    }
    regular(options.open(path)?)
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"))
}

/// Allows a link of this user or of the administrator.
#[cfg(unix)]
fn check_link(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let owner = fs::symlink_metadata(path)?.uid();
    if owner == 0 || owner == crate::sys::user_id() {
        return Ok(());
    }
    Err(io::Error::other("it is a symbolic link that belongs to another user"))
}

/// Returns whether an error says that there is no such file.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Returns whether `path` still names the open file. Systems without such identities say yes.
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (here, there) = (file.metadata()?, fs::symlink_metadata(path)?);
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        Ok((here.dev(), here.ino()) == (there.dev(), there.ino()))
    }
    #[cfg(not(unix))]
    Ok(here.is_file() == there.is_file())
}

/// Length, time and place of a file, which show whether it is still the same.
pub(crate) type State = (u64, Option<SystemTime>, Option<(u64, u64, i64)>);

/// Returns the state of a file from its metadata, which `stat` gives without opening it.
pub(crate) fn state(metadata: &fs::Metadata) -> State {
    #[cfg(unix)]
    let place = {
        use std::os::unix::fs::MetadataExt as _;
        Some((metadata.dev(), metadata.ino(), metadata.ctime_nsec()))
    };
    #[cfg(not(unix))]
    let place = None;
    (metadata.len(), metadata.modified().ok(), place)
}
