//! Logs the names of contracts and keys that this program, a bridge or a usage server, does not know: each once, because a
//! newer engine may send them.

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
            tracing::warn!(
                name,
                "unknown: {what}; it is left out, and a newer otel-usage may know it"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logged::logged;

    #[test]
    fn a_name_is_logged_once_and_only_if_it_looks_like_one() {
        let strangers = Strangers::default();
        let log = logged(|| {
            for name in ["new_key", "new_key", "", "a text", &"x".repeat(LENGTH + 1), "line\nbreak"]
            {
                strangers.meet("a key of flat messages", name);
            }
        });
        assert_eq!(log.matches("WARN").count(), 1, "{log}");
        // The usage server has this door too, so the line names the program and not the bridge.
        assert!(log.contains("new_key") && log.contains("a newer otel-usage may know it"), "{log}");
        let log =
            logged(|| (0..2 * NAMES).for_each(|n| strangers.meet("a contract", &n.to_string())));
        assert_eq!(log.matches("WARN").count(), NAMES - 1, "{log}");
    }
}
