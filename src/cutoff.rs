//! The cutoff: the time of the last `otel-usage off`. Messages that were made before it are never sent, even
//! after `otel-usage on`.
//!
//! The time is in a file beside the mode file and not in it, because older versions of this library take a second
//! line in the mode file for damage, and would stay off after `on`.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::files::{self, State};

/// Longest file that is read; a number of seconds has ten digits.
const BYTES: u64 = 64;

/// Seconds by which the clock of the machine that wrote the cutoff may be ahead. `otel-usage status --check` calls more
/// than that a problem, too.
const AHEAD: i64 = 300;

/// The file of the cutoff, which `otel-usage` writes and engines read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cutoff {
    /// `None` if no home directory is known.
    path: Option<PathBuf>,
}

impl Cutoff {
    /// Returns the cutoff in the folder of the mode file.
    pub(crate) fn below(own: Option<PathBuf>) -> Self {
        Self { path: own.map(|own| own.join("cutoff")) }
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Returns a mark that changes with each `off`. It needs no file descriptor.
    ///
    /// A message that waits in memory remembers it. If it has changed, the message is older than the cutoff,
    /// whatever the clocks say.
    pub(crate) fn mark(&self) -> Option<State> {
        Some(files::state(&std::fs::metadata(self.path.as_deref()?).ok()?))
    }

    /// Returns the time before which nothing may be sent. Unit: seconds since the Unix epoch. `None` if there
    /// was no `off`.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or holds no time. The age of a message on disk is then unknown, and it must not
    /// be sent.
    pub(crate) fn seconds(&self) -> io::Result<Option<i64>> {
        let Some(path) = &self.path else { return Ok(None) };
        let bytes = match files::read_start(path, BYTES) {
            // A dangling link is no missing file.
            Err(error) if files::is_absent(&error) && std::fs::symlink_metadata(path).is_err() => {
                return Ok(None);
            }
            bytes => bytes?,
        };
        let text = std::str::from_utf8(bytes.trim_ascii()).ok();
        let time = text.and_then(|text| text.parse().ok());
        time.map(Some).ok_or_else(|| {
            let what =
                "it holds no time; run `otel-usage off`, then `on` if you want that, or remove it";
            io::Error::new(ErrorKind::InvalidData, what)
        })
    }

    /// Returns whether a message on disk is newer than the last `off`. `None` if that is unknown, because the file
    /// cannot be read, or names a time after `now`: it is damaged then, or a clock is wrong.
    pub(crate) fn allows(&self, time: i64, now: i64) -> Option<bool> {
        match self.seconds().ok()? {
            Some(cutoff) if cutoff.saturating_sub(now) > AHEAD => None,
            cutoff => Some(cutoff.is_none_or(|cutoff| cutoff < time)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cutoff_allows_only_what_is_newer_and_nothing_if_it_cannot_be_read() {
        const NOW: i64 = 2000;
        let folder = tempfile::tempdir().unwrap();
        let cutoff = Cutoff::below(Some(folder.path().to_owned()));
        let path = cutoff.path().unwrap();
        assert_eq!((cutoff.allows(i64::MIN, NOW), cutoff.mark()), (Some(true), None));
        std::fs::write(path, "1000\n").unwrap();
        let first = cutoff.mark();
        assert!(first.is_some());
        for (time, allowed) in [(999, false), (1000, false), (1001, true)] {
            assert_eq!(cutoff.allows(time, NOW), Some(allowed), "{time}");
        }
        for (now, known) in [(700, true), (699, false), (i64::MIN, false), (i64::MAX, true)] {
            assert_eq!(cutoff.allows(1001, now), known.then_some(true), "{now}");
        }
        for damage in ["", "soon", "10 00", "99999999999999999999", "\0\0\0\0", "-", "1000\n1"] {
            std::fs::write(path, damage).unwrap();
            assert_eq!(cutoff.allows(i64::MAX, NOW), None, "{damage:?}");
        }
        assert_ne!(cutoff.mark(), first);
        std::fs::remove_file(path).unwrap();
        std::fs::create_dir(path).unwrap();
        assert_eq!(cutoff.allows(i64::MAX, NOW), None);
        #[cfg(unix)]
        {
            std::fs::remove_dir(path).unwrap();
            std::os::unix::fs::symlink("nowhere", path).unwrap();
            assert_eq!(cutoff.allows(i64::MAX, NOW), None);
        }
        assert_eq!(Cutoff::default().allows(0, NOW), Some(true));
    }
}
