//! The journal on disk of what left this machine, which an operator can switch on.
//!
//! A line is written before the first byte of an attempt to deliver leaves, and another when the attempt has
//! ended. [`read`] puts both together. Lines are not synced: they survive the death of the process, and not a
//! power cut.

mod forget;
mod journal;
mod line;
mod read;
#[cfg(test)]
mod tests;

pub use forget::forget;
pub use read::{Receipt, Receipts, read};

pub(crate) use journal::{Journal, Written};

use std::ffi::OsString;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

/// Returns the files of the journal at `path`: the older part, which need not be there, and the newer.
#[must_use]
pub fn files(path: &Path) -> [PathBuf; 2] {
    [older(path), path.to_owned()]
}

/// Returns the name of the network file system on which the journal at `path` is or would be. There the lines of
/// several processes may mix, and a write may wait for the network.
#[must_use]
pub fn network_file_system(path: &Path) -> Option<&'static str> {
    crate::spool::place::network_of(path)
}

fn is_missing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Returns the path of the older part of the journal.
fn older(path: &Path) -> PathBuf {
    let mut older = OsString::from(path);
    older.push(".1");
    older.into()
}
