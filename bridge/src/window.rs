//! Remembers what was delivered lately, so that a repeated request does not send it twice.
//!
//! A collector repeats a whole request when one record of it has to wait. The window knows for each record
//! which exporters have it already, and whether another request is delivering it now. It is bounded in
//! entries and age. A record that it has forgotten is sent again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

/// Entries that one claim looks at to make room. More than one, so that the window shrinks again.
const LOOKS: usize = 64;

/// A record's identity: trace id and span id, or a fingerprint of the same length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 24]);

/// The exporters that have a record, and whether the server refused the record for good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// One bit for each exporter that has the record.
    pub(crate) exporters: u8,
    pub(crate) refused: bool,
}

#[derive(Debug)]
struct Entry {
    done: Done,
    busy: bool,
    touched: Instant,
}

/// The window. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    entries: Arc<Mutex<LruCache<Key, Entry>>>,
    size: usize,
    age: Duration,
}

/// A record that one request is delivering. `Drop` stores the result, so that even a panic does not leave
/// the record locked.
#[derive(Debug)]
pub(crate) struct Held {
    window: Window,
    key: Option<Key>,
    pub(crate) done: Done,
}

impl Key {
    /// Makes a key of valid ids. Returns `None` for ids that are not valid, because they do not identify the
    /// record.
    pub(crate) fn of_span(trace: &[u8], span: &[u8]) -> Option<Self> {
        let mut key = [0; 24];
        let (left, right) = key.split_at_mut(16);
        if trace.len() != left.len() || span.len() != right.len() {
            return None;
        }
        left.copy_from_slice(trace);
        right.copy_from_slice(span);
        let valid = left.iter().any(|byte| *byte != 0) && right.iter().any(|byte| *byte != 0);
        valid.then_some(Self(key))
    }

    /// Makes a key of three hashes of the parts that distinguish a record without ids.
    pub(crate) fn of_hashes(hashes: [u64; 3]) -> Self {
        let mut key = [0; 24];
        for (place, hash) in key.chunks_exact_mut(8).zip(hashes) {
            place.copy_from_slice(&hash.to_ne_bytes());
        }
        Self(key)
    }
}

impl Window {
    pub(crate) fn new(size: usize, age: Duration) -> Self {
        Self { entries: Arc::new(Mutex::new(LruCache::unbounded())), size, age }
    }

    /// Takes the record for this request. Returns `None` if another request is delivering it.
    ///
    /// A record without identity is always free and never remembered.
    pub(crate) fn claim(&self, key: Option<Key>, now: Instant) -> Option<Held> {
        let mut done = Done::default();
        if let Some(key) = key {
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            for _ in 0..LOOKS {
                let Some((oldest_key, oldest)) = entries.peek_lru() else { break };
                let is_old = now.saturating_duration_since(oldest.touched) > self.age;
                if entries.len() <= self.size && !is_old {
                    break;
                }
                if !oldest.busy {
                    entries.pop_lru();
                    continue;
                }
                // It is not forgotten before its delivery ends, because a repeated request would deliver it twice.
                let oldest_key = *oldest_key;
                if let Some(busy) = entries.get_mut(&oldest_key) {
                    busy.touched = now;
                }
            }
            match entries.get_mut(&key) {
                Some(entry) if entry.busy => return None,
                Some(entry) => {
                    (entry.busy, entry.touched) = (true, now);
                    done = entry.done;
                }
                None => {
                    entries.put(key, Entry { done, busy: true, touched: now });
                }
            }
        }
        Some(Held { window: self.clone(), key, done })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let mut entries = self.window.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if self.done == Done::default() {
            // Nothing was delivered, so there is nothing to remember.
            entries.pop(&key);
        } else if let Some(entry) = entries.get_mut(&key) {
            (entry.busy, entry.done) = (false, self.done);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test's clock")]
mod tests {
    use super::*;

    fn key(n: u64) -> Option<Key> {
        Some(Key::of_hashes([n, 0, 0]))
    }

    #[test]
    fn a_record_is_one_requests_at_a_time_and_then_known() {
        let window = Window::new(10, Duration::from_secs(9));
        let now = Instant::now();
        let mut held = window.claim(key(1), now).unwrap();
        assert!(window.claim(key(1), now).is_none());
        held.done.exporters = 2;
        drop(held);
        assert_eq!(window.claim(key(1), now).unwrap().done.exporters, 2);
        // Without identity nothing is known.
        let mut anonymous = window.claim(None, now).unwrap();
        anonymous.done.exporters = 2;
        assert_eq!(window.claim(None, now).unwrap().done, Done::default());
    }

    #[test]
    fn a_record_is_not_forgotten_while_it_is_delivered() {
        let window = Window::new(3, Duration::from_secs(9));
        let now = Instant::now();
        let later = now + Duration::from_secs(60);
        let mut held = window.claim(key(1_000), now).unwrap();
        for n in 0..100 {
            window.claim(key(n), later).unwrap().done.exporters = 1;
        }
        assert!(window.claim(key(1_000), later).is_none());
        held.done.exporters = 2;
        drop(held);
        assert_eq!(window.claim(key(1_000), later).unwrap().done.exporters, 2);
        assert!(window.entries.lock().unwrap().len() <= 4);
    }

    #[test]
    fn it_is_bounded_in_entries_and_age() {
        let window = Window::new(3, Duration::from_secs(9));
        let now = Instant::now();
        for n in 0..100 {
            window.claim(key(n), now).unwrap().done.exporters = 1;
        }
        assert!(window.entries.lock().unwrap().len() <= 4);
        assert_eq!(window.claim(key(0), now).unwrap().done.exporters, 0);
        assert_eq!(window.claim(key(99), now).unwrap().done.exporters, 1);
        let later = now + Duration::from_secs(10);
        assert_eq!(window.claim(key(99), later).unwrap().done.exporters, 0);
    }

    #[test]
    fn ids_that_are_not_valid_are_no_identity() {
        assert!(Key::of_span(&[1; 16], &[1; 8]).is_some());
        for (trace, span) in
            [(&[0; 16][..], &[1; 8][..]), (&[1; 16], &[0; 8]), (&[1; 15], &[1; 8]), (&[], &[])]
        {
            assert!(Key::of_span(trace, span).is_none());
        }
    }
}
