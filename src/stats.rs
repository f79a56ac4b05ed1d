//! Accounts: every record and every message is delivered, queued, or dropped for a reason.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use otel_usage_schema::Loss;

use crate::delivery::{Deliveries, Delivery};

/// A snapshot of the accounts of one [`Usage`](crate::Usage).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Records made by the engine and for it.
    pub recorded: u64,
    /// Records and attributes that did not reach any exporter, by reason.
    pub lost: BTreeMap<Loss, u64>,
    /// The account of each exporter.
    pub exporters: Vec<ExporterStats>,
}

/// The account of one exporter: `accepted = delivered + queued + in_flight + spooled + dropped`, always.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExporterStats {
    /// The exporter's name.
    pub name: String,
    /// Messages that the exporter was given, or took over from a process that ended.
    pub accepted: u64,
    /// Messages that reached their destination.
    pub delivered: u64,
    /// Messages that wait in memory.
    pub queued: u64,
    /// Messages that are on their way and not on disk.
    pub in_flight: u64,
    /// Messages that are on disk, where the end of the process does not reach them. One may be on its way.
    pub spooled: u64,
    /// Messages that are lost, by reason.
    pub dropped: BTreeMap<Loss, u64>,
    /// The last 64 attempts to deliver a message over the network, oldest first. A message that was tried twice
    /// stands there twice. Empty for an exporter that is not on the network.
    pub deliveries: Vec<Delivery>,
}

/// Counts by reason.
#[derive(Debug)]
pub(crate) struct Losses(Vec<AtomicU64>);

impl Default for Losses {
    fn default() -> Self {
        Self(Loss::ALL.iter().map(|_| AtomicU64::new(0)).collect())
    }
}

impl Losses {
    pub(crate) fn add(&self, loss: Loss, count: u64) {
        let place = Loss::ALL.iter().zip(&self.0).find(|(reason, _)| **reason == loss);
        if let Some((_, counter)) = place {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn of(&self, wanted: impl Fn(Loss) -> bool) -> u64 {
        let counts = Loss::ALL.iter().zip(&self.0).filter(|(loss, _)| wanted(**loss));
        counts.fold(0, |sum, (_, count)| sum.saturating_add(count.load(Ordering::Relaxed)))
    }

    fn snapshot(&self) -> BTreeMap<Loss, u64> {
        let counts = self.0.iter().map(|counter| counter.load(Ordering::Relaxed));
        Loss::ALL.iter().copied().zip(counts).filter(|(_, count)| *count > 0).collect()
    }
}

/// Most characters of a name that are logged, and most names that are logged.
const NAME: usize = 64;
const NAMES: usize = 64;

/// The accounts of one pipeline.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) recorded: AtomicU64,
    pub(crate) lost: Losses,
    /// The names that were logged already.
    named: Mutex<BTreeSet<(Loss, String)>>,
    /// The accounts of the exporters, once the worker has made them.
    pub(crate) exporters: OnceLock<Vec<Arc<ExporterCounters>>>,
}

impl Counters {
    /// Counts a loss, and logs its name or its place once.
    ///
    /// `name` is logged only if it stands in the contract or in this library. Any other name may hold a
    /// secret, so only the `place` is logged instead.
    pub(crate) fn note(&self, loss: Loss, name: &str, place: &str) {
        self.lost.add(loss, 1);
        let known = matches!(loss, Loss::NotFinite | Loss::Probe | Loss::TooLong | Loss::WrongType);
        self.name(loss, if known { name } else { place });
    }

    /// Logs a lost name once, at debug level.
    ///
    /// Only the worker calls this, and only with names that stand in a contract or in a program.
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

    /// Returns what was lost so far before and in all exporters, by reason.
    pub(crate) fn losses(&self) -> BTreeMap<Loss, u64> {
        let mut sum = self.lost.snapshot();
        for exporter in self.exporters.get().into_iter().flatten() {
            for (loss, count) in exporter.dropped.snapshot() {
                let all = sum.entry(loss).or_default();
                *all = all.saturating_add(count);
            }
        }
        sum
    }

    /// Returns how many messages were lost, and records that never became one. A message that an
    /// opt-out or a newer message dropped is not counted, and neither is an attribute.
    pub(crate) fn lost_messages(&self) -> u64 {
        let records =
            self.lost.of(|loss| matches!(loss, Loss::QueueFull | Loss::Panicked | Loss::TooLate));
        let exporters = self.exporters.get().into_iter().flatten();
        exporters.fold(records, |sum, exporter| {
            sum.saturating_add(exporter.dropped.of(is_lost))
                .saturating_sub(exporter.left_over.load(Ordering::Relaxed))
        })
    }

    pub(crate) fn snapshot(&self) -> Stats {
        let exporters = self.exporters.get().into_iter().flatten();
        Stats {
            recorded: self.recorded.load(Ordering::Relaxed),
            lost: self.lost.snapshot(),
            exporters: exporters.map(|exporter| exporter.snapshot()).collect(),
        }
    }
}

/// Returns whether a message that was dropped for this reason should have arrived.
const fn is_lost(loss: Loss) -> bool {
    !matches!(loss, Loss::Consent | Loss::Superseded)
}

/// The account of one exporter.
#[derive(Debug, Default)]
pub(crate) struct ExporterCounters {
    name: String,
    accepted: AtomicU64,
    delivered: AtomicU64,
    in_flight: AtomicU64,
    spooled: AtomicU64,
    /// Losses of what processes left that ended, of which no caller of this one is told.
    left_over: AtomicU64,
    dropped: Losses,
    pub(crate) deliveries: Deliveries,
}

impl ExporterCounters {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    pub(crate) fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn delivered(&self, count: u64) {
        self.delivered.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn dropped(&self, loss: Loss, count: u64) {
        self.dropped.add(loss, count);
    }

    /// Counts the loss of a message of a process that ended.
    #[cfg(feature = "http")]
    pub(crate) fn lost_left_over(&self, loss: Loss) {
        self.accepted();
        if is_lost(loss) {
            self.left_over.fetch_add(1, Ordering::Relaxed);
        }
        self.dropped(loss, 1);
    }

    /// Begins at zero.
    pub(crate) fn begin_again(&self) {
        // The ends first, so that nothing counts as delivered that was not accepted.
        for loss in &self.dropped.0 {
            loss.store(0, Ordering::Relaxed);
        }
        self.delivered.store(0, Ordering::Relaxed);
        self.accepted.store(0, Ordering::Relaxed);
        self.set_places(0, 0);
    }

    /// Sets how many messages are on disk, and how many others are on their way.
    pub(crate) fn set_places(&self, spooled: u64, in_flight: u64) {
        self.spooled.store(spooled, Ordering::Relaxed);
        self.in_flight.store(in_flight, Ordering::Relaxed);
    }

    /// Returns how many messages wait in memory or are on their way, and how many wait on disk.
    pub(crate) fn waiting(&self) -> (u64, u64) {
        let ExporterStats { queued, in_flight, spooled, .. } = self.counts();
        (queued.saturating_add(in_flight), spooled)
    }

    pub(crate) fn snapshot(&self) -> ExporterStats {
        ExporterStats { deliveries: self.deliveries.snapshot(), ..self.counts() }
    }

    pub(crate) fn counts(&self) -> ExporterStats {
        // The ends are read before the beginning, so that a message that moves on meanwhile counts as
        // queued.
        let dropped = self.dropped.snapshot();
        let delivered = self.delivered.load(Ordering::Relaxed);
        let accepted = self.accepted.load(Ordering::Relaxed);
        let gone = dropped.values().fold(delivered, |sum, count| sum.saturating_add(*count));
        let waiting = accepted.saturating_sub(gone);
        let spooled = self.spooled.load(Ordering::Relaxed).min(waiting);
        let rest = waiting.saturating_sub(spooled);
        let in_flight = self.in_flight.load(Ordering::Relaxed).min(rest);
        ExporterStats {
            name: self.name.clone(),
            accepted,
            delivered,
            queued: rest.saturating_sub(in_flight),
            in_flight,
            spooled,
            dropped,
            deliveries: Vec::new(),
        }
    }
}
