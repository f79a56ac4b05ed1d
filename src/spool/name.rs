//! The names of the files, which say whose they are, so that no file has to be read to find that out.
//!
//! `<contract>-<queue>-<owner>.<time>-<number>` is an entry, and `<contract>-<queue>-<owner>.lock` is what the owner
//! holds while it lives.

use super::entry::{hexadecimal, sha256};

/// The mark at the end of a name of a message that a newer one replaces.
pub(super) const NEWEST: char = 'h';

/// A name of a file, taken apart.
pub(super) struct Name<'a> {
    pub(super) owner: &'a str,
    /// `None` for a lock.
    pub(super) time: Option<i64>,
}

impl<'a> Name<'a> {
    pub(super) fn parse(name: &'a str) -> Option<Self> {
        let (owner, rest) = name.split_once('.')?;
        let mut parts = owner.split('-').map(str::len);
        if ![16, 16, 32].into_iter().eq(parts.by_ref()) {
            return None;
        }
        if rest == "lock" {
            return Some(Self { owner, time: None });
        }
        let (time, _) = rest.split_once('-')?;
        Some(Self { owner, time: Some(i64::from_str_radix(time, 16).ok()?) })
    }
}

pub(super) fn lock_of(owner: &str) -> String {
    format!("{owner}.lock")
}

/// Returns the beginning of the names of a contract's files.
pub(super) fn of_contract(contract: &str) -> String {
    format!("{}-", short(&sha256(contract.as_bytes())))
}

/// Returns the first eight bytes in hexadecimal form.
pub(super) fn short(digest: &[u8; 32]) -> String {
    hexadecimal(digest.first_chunk::<8>().unwrap_or(&[0; 8]))
}
