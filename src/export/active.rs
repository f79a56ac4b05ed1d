//! An exporter at work: its counters, its consent, and its panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use otel_usage_schema::{Consent, Loss};

use super::{ExportRecord, Exporter, Outcome};
use crate::clock::Clock;
use crate::stats::ExporterCounters;

/// Time that one exporter may take to send before the next has its turn, and for which a stock exporter waits
/// for answers.
pub(crate) const BUDGET: Duration = Duration::from_secs(10);

/// An exporter with its counters.
#[derive(Debug)]
pub(crate) struct ActiveExporter {
    exporter: Box<dyn Exporter>,
    counters: Arc<ExporterCounters>,
}

/// Calls the thread that runs the exporters, because a request was answered.
#[derive(Clone)]
pub(crate) struct Wake(
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "network exporters use it"))]
    Arc<dyn Fn() + Send + Sync>,
);

impl std::fmt::Debug for Wake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wake")
    }
}

impl Wake {
    pub(crate) fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(wake))
    }

    #[cfg(feature = "http")]
    pub(crate) fn wake(&self) {
        (self.0)();
    }
}

/// The needs of the caller of a turn.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Need {
    /// A pause between attempts is skipped once.
    pub(crate) urgent: bool,
    /// The caller's time is nearly up, so what waits goes to disk now.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "network exporters use it"))]
    pub(crate) save: bool,
    /// The caller waits no longer than this.
    pub(crate) within: Option<Duration>,
}

/// The state in which a turn leaves an exporter.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sent {
    /// The time of the next attempt.
    pub(crate) next: Option<Instant>,
    /// Whether a request is on its way, after whose answer there is more to do.
    pub(crate) in_flight: bool,
}

impl Sent {
    /// Returns the state of two exporters.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            next: self.next.into_iter().chain(other.next).min(),
            in_flight: self.in_flight || other.in_flight,
        }
    }
}

/// One turn of an exporter to send what it queued.
///
/// It holds the time limit and the consent, and it counts each message as delivered or dropped.
pub struct Turn<'a> {
    clock: &'a Clock,
    until: Instant,
    need: Need,
    /// The caller waits no longer than this.
    deadline: Option<Instant>,
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "network exporters use it"))]
    wake: &'a Wake,
    consent: &'a mut dyn FnMut() -> Consent,
    counters: &'a ExporterCounters,
    in_flight: bool,
    withdrawn: bool,
}

impl Turn<'_> {
    /// Returns the monotonic time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.monotonic()
    }

    /// Returns the wall time. Unit: nanoseconds since the Unix epoch.
    #[must_use]
    pub fn unix_nanos(&self) -> i64 {
        self.clock.unix_nanos()
    }

    /// Returns the time at which the turn ends, because other exporters wait.
    #[must_use]
    pub const fn until(&self) -> Instant {
        self.until
    }

    /// Returns the time that one message may take if the caller waits for a limited time.
    #[cfg(feature = "http")]
    pub(crate) fn limit(&self) -> Option<Duration> {
        Some(self.deadline?.saturating_duration_since(self.now()))
    }

    /// Returns whether the engine waits for delivery, so that a pause between attempts is skipped once.
    #[must_use]
    pub const fn is_urgent(&self) -> bool {
        self.need.urgent
    }

    /// Returns whether what waits has to go to disk now.
    #[cfg(feature = "http")]
    pub(crate) const fn must_save(&self) -> bool {
        self.need.save
    }

    /// Returns what a thread calls when the turn's exporter has more to do.
    #[cfg(feature = "http")]
    pub(crate) fn wake(&self) -> Wake {
        self.wake.clone()
    }

    /// Says that a request is on its way.
    #[cfg(feature = "http")]
    pub(crate) const fn is_in_flight(&mut self) {
        self.in_flight = true;
    }

    /// Asks consent. It must be called before each message is sent.
    ///
    /// After `false` the exporter returns, and its queue is discarded and counted.
    pub fn may_send(&mut self) -> bool {
        self.withdrawn |= (self.consent)() != Consent::Granted;
        !self.withdrawn
    }

    /// Counts one queued message as delivered.
    pub fn delivered(&mut self) {
        if self.counters.waiting() != (0, 0) {
            self.counters.delivered(1);
        }
    }

    /// Counts one queued message as lost.
    pub fn dropped(&mut self, loss: Loss) {
        if self.counters.waiting() != (0, 0) {
            self.counters.dropped(loss, 1);
        }
    }

    /// Counts one message of a process that ended as queued.
    #[cfg(feature = "http")]
    pub(crate) fn taken_over(&mut self) {
        self.counters.accepted();
    }

    /// Counts the loss of a message of a process that ended.
    #[cfg(feature = "http")]
    pub(crate) fn lost_left_over(&mut self, loss: Loss) {
        self.counters.lost_left_over(loss);
    }

    /// Notes an attempt to deliver a message.
    #[cfg(feature = "http")]
    pub(crate) fn tried(&self, delivery: crate::delivery::Delivery) {
        self.counters.deliveries.push(delivery);
    }

    /// Sets how many of the queued messages wait on disk, and how many others are on their way.
    #[cfg(feature = "http")]
    pub(crate) fn set_places(&mut self, spooled: usize, in_flight: usize) {
        self.counters.set_places(spooled as u64, in_flight as u64);
    }
}

impl std::fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn")
            .field("until", &self.until)
            .field("deadline", &self.deadline)
            .field("need", &self.need)
            .finish_non_exhaustive()
    }
}

impl ActiveExporter {
    pub(crate) fn new(exporter: Box<dyn Exporter>) -> Self {
        let counters = Arc::new(ExporterCounters::new(exporter.name()));
        Self { exporter, counters }
    }

    pub(crate) fn counters(&self) -> Arc<ExporterCounters> {
        Arc::clone(&self.counters)
    }

    /// Returns the destination for the notice, or `None` if no message leaves the machine.
    pub(crate) fn destination(&self) -> Option<String> {
        self.exporter.is_network().then(|| self.exporter.destination())
    }

    /// Gives the exporter a record, if `consent` allows it.
    pub(crate) fn export(&mut self, record: &ExportRecord, consent: Consent) {
        let outcome = if consent.allows(self.exporter.is_network()) {
            catch_unwind(AssertUnwindSafe(|| self.exporter.export(record)))
                .unwrap_or(Outcome::Dropped(Loss::Panicked))
        } else {
            Outcome::Dropped(Loss::Consent)
        };
        if outcome != Outcome::Ignored {
            self.counters.accepted();
        }
        match outcome {
            Outcome::Delivered => self.counters.delivered(1),
            Outcome::Dropped(loss) => self.counters.dropped(loss, 1),
            Outcome::Ignored | Outcome::Queued => {}
        }
    }

    /// Returns how many messages wait in memory, and how many on disk.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let (queued, spooled) = self.counters.waiting();
        let count = |count| usize::try_from(count).unwrap_or(usize::MAX);
        (count(queued), count(spooled))
    }

    /// Lets the exporter send what it queued.
    pub(crate) fn send_queued(
        &mut self,
        clock: &Clock,
        need: Need,
        wake: &Wake,
        consent: &mut dyn FnMut() -> Consent,
    ) -> Sent {
        let now = clock.monotonic();
        let deadline = need.within.and_then(|within| now.checked_add(within));
        let until = now.checked_add(BUDGET).into_iter().chain(deadline).min().unwrap_or(now);
        let counters = Arc::clone(&self.counters);
        let mut turn = Turn {
            clock,
            until,
            need,
            deadline,
            wake,
            consent,
            counters: &counters,
            in_flight: false,
            withdrawn: false,
        };
        let exporter = &mut self.exporter;
        let next = catch_unwind(AssertUnwindSafe(|| exporter.send_queued(&mut turn)));
        let (in_flight, withdrawn) = (turn.in_flight, turn.withdrawn);
        if withdrawn {
            self.discard(Loss::Consent);
            return Sent::default();
        }
        match next {
            Ok(next) => Sent { next, in_flight },
            // A message that made the exporter panic must not be tried again.
            Err(_) => {
                self.discard(Loss::Panicked);
                Sent::default()
            }
        }
    }

    /// Begins anew in a restored process, with an empty account.
    pub(crate) fn begin_again(&mut self) {
        let exporter = &mut self.exporter;
        let _ = catch_unwind(AssertUnwindSafe(|| exporter.begin_again()));
        self.counters.begin_again();
    }

    /// Counts all that waits as lost.
    pub(crate) fn discard(&mut self, loss: Loss) {
        let exporter = &mut self.exporter;
        let _ = catch_unwind(AssertUnwindSafe(|| exporter.discard_queued()));
        self.counters.set_places(0, 0);
        self.counters.dropped(loss, self.counters.waiting().0);
    }
}
