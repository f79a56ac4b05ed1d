//! Logs the names of contracts and keys that the bridge does not know, each once, because a newer release may send them.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Most names that are remembered and logged, because a sender can make up any number.
const NAMES: usize = 64;

/// Longest name that is logged.
const LENGTH: usize = 64;

/// The names that have been logged.
#[derive(Debug, Default)]
pub(crate) struct Strangers(Mutex<HashSet<String>>);

impl Strangers {
    /// Logs `name` if it is new. A name that does not look like an identifier is not shown.
    pub(crate) fn meet(&self, what: &'static str, name: &str) {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
        if name.is_empty() || name.len() > LENGTH || !name.chars().all(plain) {
            return;
        }
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() < NAMES && names.insert(name.to_owned()) {
            drop(names);
            tracing::warn!(name, "unknown: {what}; it is left out, and a newer bridge may know it");
        }
    }
}
