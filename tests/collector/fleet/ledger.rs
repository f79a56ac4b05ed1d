//! Counts what engines made, what was acknowledged to them, and what the usage server stored.
//!
//! Two records are the same if a warehouse would de-duplicate them. The identity is read from the flat
//! body.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use serde::Deserialize;
use uuid::Uuid;

/// Identity of a message of vLLM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    uuid: Uuid,
    log_time: i64,
}

#[derive(Debug)]
struct Entry {
    start: bool,
    acknowledged: bool,
    digest: u64,
    copies: u64,
    /// The run of the bridge that delivered it last.
    by: Option<u32>,
}

/// The counts for start messages, or for heartbeats.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Count {
    pub(super) made: u64,
    pub(super) acknowledged: u64,
    /// Identities, after de-duplication.
    pub(super) stored: u64,
    /// Copies beyond the first of each.
    pub(super) repeated: u64,
    /// Messages that were acknowledged and not stored.
    pub(super) missing: u64,
}

#[derive(Debug, Default)]
struct Book {
    entries: HashMap<Identity, Entry>,
    acknowledged: u64,
    arrived: u64,
    stored: u64,
    /// Second copies by the same run of the bridge, whose window should have known the first.
    repeated_by_one_bridge: u64,
    unknown: u64,
    altered: u64,
    /// Counts for each second.
    tried: Vec<u32>,
    arrivals: Vec<u32>,
}

#[derive(Debug)]
pub(super) struct Ledger {
    begun: Instant,
    book: Mutex<Book>,
}

#[derive(Deserialize)]
struct Flat {
    uuid: String,
    log_time: i64,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), book: Mutex::default() }
    }

    /// Notes that an engine made this message.
    pub(super) fn made(&self, message: &str, start: bool) -> Identity {
        let identity = identity(message).unwrap();
        let digest = digest(message);
        let entry = Entry { start, acknowledged: false, digest, copies: 0, by: None };
        assert!(self.book().entries.insert(identity, entry).is_none(), "an identity twice");
        identity
    }

    /// Notes that an engine asks the collector to take a record.
    pub(super) fn tried(&self) {
        count(&mut self.book().tried, self.begun);
    }

    /// Notes that the collector answered 200.
    pub(super) fn acknowledged(&self, identity: Identity) {
        let mut book = self.book();
        book.acknowledged += 1;
        book.entries.get_mut(&identity).unwrap().acknowledged = true;
    }

    /// Notes that the usage server stored `body`, which run `by` of the bridge delivered.
    pub(super) fn stored(&self, body: &str, by: u32) {
        let (identity, digest) = (identity(body), digest(body));
        let mut book = self.book();
        let book = &mut *book;
        count(&mut book.arrivals, self.begun);
        book.arrived += 1;
        let Some(entry) = identity.and_then(|identity| book.entries.get_mut(&identity)) else {
            book.unknown += 1;
            return;
        };
        book.altered += u64::from(entry.digest != digest);
        book.stored += u64::from(entry.copies == 0);
        book.repeated_by_one_bridge += u64::from(entry.by == Some(by));
        entry.copies += 1;
        entry.by = Some(by);
    }

    /// Returns the number of copies that arrived so far.
    pub(super) fn arrived(&self) -> u64 {
        self.book().arrived
    }

    /// Returns the number of identities that were acknowledged and are not stored yet.
    pub(super) fn waiting(&self) -> u64 {
        let book = self.book();
        book.acknowledged.saturating_sub(book.stored)
    }

    pub(super) fn count(&self, start: bool) -> Count {
        let mut sum = Count::default();
        for entry in self.book().entries.values().filter(|entry| entry.start == start) {
            sum.made += 1;
            sum.acknowledged += u64::from(entry.acknowledged);
            sum.stored += u64::from(entry.copies > 0);
            sum.repeated += entry.copies.saturating_sub(1);
            sum.missing += u64::from(entry.acknowledged && entry.copies == 0);
        }
        sum
    }

    /// Returns requests of engines and arrivals at the usage server, by second.
    pub(super) fn by_second(&self) -> (Vec<u32>, Vec<u32>) {
        let book = self.book();
        (book.tried.clone(), book.arrivals.clone())
    }

    /// Returns each thing that must not happen, with the number of times that it did.
    pub(super) fn wrong(&self) -> Vec<(&'static str, u64)> {
        let counts = [self.count(true), self.count(false)];
        let sum = |of: fn(&Count) -> u64| counts.iter().map(of).sum::<u64>();
        let book = self.book();
        vec![
            ("acknowledged and missing", sum(|count| count.missing)),
            ("never acknowledged", sum(|count| count.made - count.acknowledged)),
            ("arrived, of no engine", book.unknown),
            ("arrived with another body", book.altered),
            ("sent twice by one bridge", book.repeated_by_one_bridge),
        ]
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }
}

fn count(seconds: &mut Vec<u32>, begun: Instant) {
    let second = usize::try_from(begun.elapsed().as_secs()).unwrap();
    if seconds.len() <= second {
        seconds.resize(second + 1, 0);
    }
    seconds[second] += 1;
}

fn identity(body: &str) -> Option<Identity> {
    let Flat { uuid, log_time } = serde_json::from_str(body).ok()?;
    Some(Identity { uuid: Uuid::try_parse(&uuid).ok()?, log_time })
}

fn digest(body: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    hasher.finish()
}
