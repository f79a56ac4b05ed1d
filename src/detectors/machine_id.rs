//! Reads and makes the UUID of a machine, in a file of the engine's configuration directory. Only the pipeline calls this, after consent; no public detector does.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::Path;

use crate::clock::Clock;
use crate::{files, sys};

/// Name of the file.
pub(crate) const FILE: &str = "machine_id";

/// Most bytes that are read of the file; a UUID takes 36.
const FILE_BYTES: u64 = 128;

/// Reads the UUID. Returns `None` if the file holds anything else, because that must not be sent.
pub(super) fn read(directory: &Path) -> Option<String> {
    let bytes = files::read_start(&directory.join(FILE), FILE_BYTES).ok()?;
    uuid::Uuid::try_parse(str::from_utf8(&bytes).ok()?.trim())
        .ok()
        .map(|id| id.hyphenated().to_string())
}

/// Reads the UUID, and makes it if the file is missing or empty.
///
/// Several processes may start at once: the first one writes under a lock, the others read its UUID.
/// A file that holds something else is the operator's and stays as it is. Returns `None` if the
/// directory cannot be written, like upstream.
///
/// # Errors
///
/// [`ErrorKind::WouldBlock`] if another process holds the lock all the time, so that the UUID is lost.
pub(super) fn read_or_make(directory: &Path, clock: &Clock) -> io::Result<Option<String>> {
    if let Some(id) = read(directory) {
        return Ok(Some(id));
    }
    match make(directory, clock) {
        Ok(()) => Ok(read(directory)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(error),
        Err(_) => Ok(None),
    }
}

fn make(directory: &Path, clock: &Clock) -> io::Result<()> {
    files::make_folder(directory)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = files::open(&directory.join(FILE), &mut options)?;
    let _lock = sys::lock(&file)?;
    if text(&file)?.trim().is_empty() {
        (&file).write_all(clock.uuid().as_bytes())?;
    }
    Ok(())
}

fn text(file: &File) -> io::Result<String> {
    let mut text = String::new();
    file.take(FILE_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[cfg(unix)]
    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "a test, and the call that makes a pipe is unsafe code"
    )]
    fn a_pipe_does_not_block() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join(FILE);
        assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
        assert_eq!(read_or_make(directory.path(), &Clock::system()).unwrap(), None);
    }

    #[test]
    fn a_machine_gets_one_id_and_keeps_it() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("lmcache");
        let make = || read_or_make(&directory, &Clock::system()).unwrap();
        assert_eq!(read(&directory), None);
        let id = make().unwrap();
        assert_eq!(make(), Some(id.clone()));
        assert_eq!(fs::read_to_string(directory.join(FILE)).unwrap(), id);

        // A process died between making the file and writing into it.
        fs::write(directory.join(FILE), "").unwrap();
        assert!(make().is_some_and(|new| new != id));
        fs::write(directory.join(FILE), "alice's machine").unwrap();
        assert_eq!(make(), None);
        assert_eq!(fs::read_to_string(directory.join(FILE)).unwrap(), "alice's machine");
        // The directory is a file.
        assert_eq!(read_or_make(&directory.join(FILE), &Clock::system()).unwrap(), None);
    }

    #[test]
    fn threads_that_make_the_id_at_once_get_the_same() {
        let home = tempfile::tempdir().unwrap();
        for round in 0..20 {
            let directory = home.path().join(round.to_string());
            let together = std::sync::Barrier::new(8);
            let ids: Vec<_> = std::thread::scope(|scope| {
                let make = || {
                    together.wait();
                    read_or_make(&directory, &Clock::system()).unwrap()
                };
                let all: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
                all.into_iter().map(|one| one.join().unwrap()).collect()
            });
            assert!(ids[0].is_some() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        }
    }
}
