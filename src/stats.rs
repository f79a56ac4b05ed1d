//! Accounting: every record and every message is delivered, waiting, or dropped for a reason.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::loss::Loss;

/// What happened so far; one snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Records made: by the engine, and for it.
    pub recorded: u64,
    /// Records and attributes that did not become part of a report, by reason.
    pub lost: BTreeMap<Loss, u64>,
    /// Each sink's own account.
    pub sinks: Vec<SinkStats>,
}

/// One sink's account: `accepted = delivered + queued + dropped`, always.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SinkStats {
    /// The sink's name.
    pub name: String,
    /// Messages it was given.
    pub accepted: u64,
    /// Messages that reached their destination.
    pub delivered: u64,
    /// Messages that wait, or are on their way.
    pub queued: u64,
    /// Messages that are lost, by reason.
    pub dropped: BTreeMap<Loss, u64>,
}

/// Counts by reason.
#[derive(Debug, Default)]
pub(crate) struct Losses([AtomicU64; Loss::ALL.len()]);

impl Losses {
    pub(crate) fn add(&self, loss: Loss, count: usize) {
        let place = Loss::ALL.iter().zip(&self.0).find(|(reason, _)| **reason == loss);
        if let Some((_, counter)) = place {
            counter.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    fn snapshot(&self) -> BTreeMap<Loss, u64> {
        Loss::ALL
            .into_iter()
            .zip(self.0.iter().map(|counter| counter.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

/// Characters of a lost thing's name that are shown, and how many things are named at most.
const NAME: usize = 64;
const NAMES: usize = 64;

/// The counters of one pipeline.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) recorded: AtomicU64,
    pub(crate) lost: Losses,
    /// What was named already.
    named: Mutex<BTreeSet<(Loss, String)>>,
    pub(crate) sinks: std::sync::OnceLock<Vec<Arc<SinkCounters>>>,
}

impl Counters {
    /// Counts a loss, and says once what it was, or where.
    ///
    /// `name` is shown only where it is the contract's word or ours. What the contract does not have may
    /// hold anything, a secret included: of that, only the `place` is shown.
    pub(crate) fn note(&self, loss: Loss, name: &str, place: &str) {
        self.lost.add(loss, 1);
        let known = matches!(loss, Loss::NotFinite | Loss::Probe | Loss::WrongType);
        self.name(loss, if known { name } else { place });
    }

    /// Names what was lost, once each, at debug level. Not for the engine's threads, and only for names
    /// that stand in a contract or in a program.
    pub(crate) fn name(&self, loss: Loss, name: &str) {
        let name: String = name.chars().take(NAME).collect();
        let new = self
            .named
            .lock()
            .is_ok_and(|mut named| named.len() < NAMES && named.insert((loss, name.clone())));
        if new {
            tracing::debug!(target: "otel_usage::loss", reason = loss.as_str(), name, "not recorded");
        }
    }

    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            recorded: self.recorded.load(Ordering::Relaxed),
            lost: self.lost.snapshot(),
            sinks: self.sinks.get().into_iter().flatten().map(|sink| sink.snapshot()).collect(),
        }
    }
}

/// The counters of one sink.
#[derive(Debug, Default)]
pub(crate) struct SinkCounters {
    name: String,
    accepted: AtomicU64,
    delivered: AtomicU64,
    dropped: Losses,
}

impl SinkCounters {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    pub(crate) fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn delivered(&self) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn dropped(&self, loss: Loss, count: usize) {
        self.dropped.add(loss, count);
    }

    fn snapshot(&self) -> SinkStats {
        // Ends before the beginning: a message that moves on meanwhile counts as queued.
        let dropped = self.dropped.snapshot();
        let delivered = self.delivered.load(Ordering::Relaxed);
        let accepted = self.accepted.load(Ordering::Relaxed);
        let gone = dropped.values().fold(delivered, |sum, count| sum.saturating_add(*count));
        SinkStats {
            name: self.name.clone(),
            accepted,
            delivered,
            queued: accepted.saturating_sub(gone),
            dropped,
        }
    }
}
