//! Counts what engines made, what was acknowledged to them, and what the usage server stored.
//!
//! Two records are the same if a warehouse would de-duplicate them. The identity is read from the flat
//! body.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Mutex, MutexGuard};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

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
    /// The run of bridge and server in which it arrived last.
    by: Option<usize>,
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
    /// Times at which a bridge or the server was killed. Unit: milliseconds since the Unix epoch.
    kills: Vec<i64>,
    /// Second copies in one run, although the bridge's window should have known the first.
    repeated_in_one_run: u64,
    unknown: u64,
    altered: u64,
    /// Requests of the engines, for each second.
    tried: Vec<u32>,
    /// Messages by the second in which the server received them.
    arrivals: HashMap<i64, u64>,
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

    /// Notes that the bridge or the usage server is killed, after which the next bridge knows nothing of what arrived, or
    /// this one nothing of what was stored without an answer.
    pub(super) fn killed(&self) {
        self.book().kills.push(now());
    }

    /// Notes that the usage server received and stored `body`.
    pub(super) fn stored(&self, received: i64, body: &str) {
        let (identity, digest) = (identity(body), digest(body));
        let mut book = self.book();
        let book = &mut *book;
        *book.arrivals.entry(received / 1_000).or_default() += 1;
        let by = book.kills.partition_point(|kill| *kill <= received);
        let Some(entry) = identity.and_then(|identity| book.entries.get_mut(&identity)) else {
            book.unknown += 1;
            return;
        };
        book.altered += u64::from(entry.digest != digest);
        book.repeated_in_one_run += u64::from(entry.by == Some(by));
        entry.copies += 1;
        entry.by = Some(by);
    }

    /// Returns the number of identities that were acknowledged to engines so far.
    pub(super) fn acknowledged_so_far(&self) -> u64 {
        self.book().acknowledged
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

    /// Returns the number of requests that engines made.
    pub(super) fn tries(&self) -> u64 {
        self.book().tried.iter().copied().map(u64::from).sum()
    }

    /// Returns the largest number in one second, of requests of engines and of messages at the usage server.
    pub(super) fn most_in_a_second(&self) -> [u64; 2] {
        let book = self.book();
        let tried = book.tried.iter().copied().map(u64::from).max();
        [tried, book.arrivals.values().copied().max()].map(Option::unwrap_or_default)
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
            ("sent twice by one bridge to one server", book.repeated_in_one_run),
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

/// Returns the time. Unit: milliseconds since the Unix epoch.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
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
