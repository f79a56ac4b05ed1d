//! The calls that the spool makes to a disk.
//!
//! Everything goes through these traits, so that a test can cut the power between two calls and make any of
//! them fail.

use std::any::Any;
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};

/// A file of the folder, as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// The time of the last write by the clock of the machine. Unit: seconds since the Unix epoch.
    pub(crate) modified: i64,
}

/// Most files of a listing, so that a folder that is too full costs a bounded time.
pub(super) const LISTED: usize = 4096;

/// The files of the folder whose names the spool gives. Files of other programs are left out, so that they hide none.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) files: Vec<Found>,
    /// Whether there are more. A file that is not listed is then not known to be gone.
    pub(crate) is_cut: bool,
}

impl Listing {
    /// Fails if files are missing in the listing.
    pub(crate) fn check(&self) -> io::Result<()> {
        if !self.is_cut {
            return Ok(());
        }
        let what = format!(
            "the folder holds more than {LISTED} files of otel-usage, and not all were looked at; repeat \
             `otel-usage spool purge` until it succeeds"
        );
        Err(io::Error::other(what))
    }
}

/// Holds a lock until it is dropped or the process ends. A forked child does not hold it.
pub(crate) type Lock = Box<dyn Any + Send>;

/// One folder.
pub(crate) trait Disk: Send + Debug {
    /// Returns the folder and those above it that a process of this user may have made, the highest first.
    fn folders(&self) -> Vec<PathBuf>;

    /// Makes one folder. Returns `false` if it is there already.
    fn make_folder(&self, path: &Path) -> io::Result<bool>;

    /// Makes a folder that was made survive a power cut: syncs the one above it.
    fn sync_above(&self, path: &Path) -> io::Result<()>;

    /// Returns the files. A folder that is not there has none.
    fn list(&self) -> io::Result<Listing>;

    /// Makes a file. It fails if there is one.
    fn create(&self, name: &str) -> io::Result<Box<dyn NewFile>>;

    /// Reads the first `limit + 1` bytes of a file, so that a longer one can be told from its start.
    fn read(&self, name: &str, limit: u64) -> io::Result<Vec<u8>>;

    /// Deletes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes files that were created or deleted survive a power cut.
    fn sync_folder(&self) -> io::Result<()>;

    /// Locks a file, which is made if it is missing. Returns `None` if another holds the lock.
    fn lock(&self, name: &str) -> io::Result<Option<Lock>>;

    /// Locks a file that is there. It fails if it is missing.
    fn lock_existing(&self, name: &str) -> io::Result<Option<Lock>>;
}

/// A file that was just made.
pub(crate) trait NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes the content survive a power cut.
    fn sync(&mut self) -> io::Result<()>;
}
