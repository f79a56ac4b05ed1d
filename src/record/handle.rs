//! The handle: what an engine holds.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::{Span as _, SpanBuilder, Tracer as _};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::Builder;
use super::layer::{OurDoor, UsageLayer};
use crate::clock::system_time;
use crate::config::Decision;
use crate::export::{Plan, Shared};
use crate::loss::Loss;
use crate::meter::{Counter, Gauge, Histogram, Meters, Series};
use crate::schema::{Contract, UsageRecord};
use crate::sink::Report;
use crate::stats::Stats;

/// Time that the end of an engine may be delayed by reports that still wait.
const AT_EXIT: Duration = Duration::from_millis(250);

/// One engine's usage reporting: a cheap handle, shared by cloning.
///
/// When collection is off it is a handle all the same, and every call does nothing. The last drop
/// finishes the run, and waits for the server at most 250 ms; where not even that is welcome (on an
/// async thread), call [`Usage::finish_detached`] first.
#[derive(Clone)]
#[must_use = "dropping the last handle ends the run"]
pub struct Usage {
    inner: Arc<Inner>,
}

/// How a [`Usage::flush`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Flush {
    /// Every record so far was answered by every network sink, or lost for a reason that
    /// [`Usage::stats`] tells.
    Durable,
    /// So many messages still wait in memory; they are lost if the process dies now.
    Memory(usize),
}

/// Whether it does anything; what it was told by the engine and the operator has no business in a log.
impl fmt::Debug for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Usage").field("enabled", &self.is_enabled()).finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(super) struct Inner {
    decision: Decision,
    state: State,
}

#[derive(Debug)]
pub(super) enum State {
    Live(Live),
    /// Collection is off: kept for previews only. In a lock, because a sink need not be `Sync`.
    Off(Box<Mutex<Builder>>),
}

#[derive(Debug)]
pub(super) struct Live {
    pub(super) plan: Arc<Plan>,
    pub(super) shared: Arc<Shared>,
    pub(super) meters: Arc<Meters>,
    pub(super) provider: SdkTracerProvider,
    pub(super) tracer: SdkTracer,
    pub(super) withdrawn: Arc<AtomicBool>,
    /// Whether the usage server is among the sinks.
    pub(super) direct: bool,
    /// The run was finished with or without waiting: the drop does not wait once more.
    pub(super) detached: AtomicBool,
}

impl Usage {
    /// Starts reporting for `contract` with everything left to the operator.
    ///
    /// Never fails: mistakes in the environment are one warning each, and a contract that
    /// contradicts itself is one warning and a handle that does nothing. Use [`Usage::builder`] to
    /// say more, or to hear of the contract's mistakes.
    pub fn init(contract: &Contract) -> Self {
        Self::builder(contract).init_or_off()
    }

    /// Starts to set reporting up for `contract`. There is no default contract.
    pub fn builder(contract: &Contract) -> Builder {
        Builder::new(contract)
    }

    pub(super) fn new(decision: Decision, state: State) -> Self {
        Self { inner: Arc::new(Inner { decision, state }) }
    }

    fn live(&self) -> Option<&Live> {
        self.inner.live()
    }

    /// Whether records are kept at all.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.live().is_some()
    }

    /// The consent at initialisation, and the switch behind it.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        &self.inner.decision
    }

    /// The `tracing` layer: spans and events with target `otel_usage` become records, by name.
    ///
    /// It obeys the engine's own global filter: with `EnvFilter("error")` an `info` event never
    /// reaches it. What must not be lost goes through the handle. `None` when collection is off.
    #[must_use]
    pub fn layer<S>(&self) -> Option<impl Layer<S> + Send + Sync + use<S>>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let live = self.live()?;
        let layer = UsageLayer::new(
            Arc::clone(&live.plan.contract),
            Arc::clone(&live.shared),
            live.tracer.clone(),
            live.plan.clock.clone(),
        );
        Some(OurDoor::new(layer))
    }

    /// Records the engine's start report. What belongs to it (the environment, the metadata of the
    /// run) is sent along, and heartbeats begin.
    ///
    /// May be called again with a record of another kind.
    pub fn start(&self, record: impl UsageRecord) {
        let Some(live) = self.live() else { return };
        let kind = record.kind().to_owned();
        let time = system_time(live.plan.clock.unix_nanos());
        let builder =
            SpanBuilder::from_name(kind).with_start_time(time).with_attributes(record.attributes());
        // An empty context: no report belongs to a trace of the engine.
        live.tracer.build_with_context(builder, &Context::new()).end_with_timestamp(time);
    }

    /// Says what the next heartbeats carry. Beats come by themselves; this sends none.
    pub fn heartbeat(&self, values: impl UsageRecord) {
        if let Some(live) = self.live() {
            live.shared.set_beat(values.attributes());
        }
    }

    /// The counter of this attribute, for example [`lmcache::usage::TOKENS_STORED`]: a sum that is sent
    /// at every interval and starts again at zero.
    ///
    /// Ask for it once and keep it: adding to it is one atomic operation. One that the contract does not
    /// have is counted as a loss and does nothing.
    ///
    /// [`lmcache::usage::TOKENS_STORED`]: crate::schema::lmcache::usage::TOKENS_STORED
    #[must_use]
    pub fn counter(&self, attribute: &str) -> Counter {
        self.instrument(attribute, |meters| meters.counter(attribute))
    }

    /// The gauge of this attribute: its last value is sent at every interval. As [`Usage::counter`].
    #[must_use]
    pub fn gauge(&self, attribute: &str) -> Gauge {
        self.instrument(attribute, |meters| meters.gauge(attribute))
    }

    /// The histogram of this attribute: how many samples of which size, for every interval. As
    /// [`Usage::counter`].
    #[must_use]
    pub fn histogram(&self, attribute: &str) -> Histogram {
        self.instrument(attribute, |meters| meters.histogram(attribute))
    }

    /// The series `name` of the attribute `dimension`, for things of the same kind that report apart. Its
    /// instruments are its own. As [`Usage::counter`]; there are 64 series at most. Keep it until the end of
    /// the run is reported: with [`Usage::finish_detached`] that is later than the call.
    #[must_use]
    pub fn series(&self, dimension: &str, name: &str) -> Series {
        self.instrument(dimension, |meters| meters.series(dimension, name))
    }

    fn instrument<T: Default>(&self, name: &str, find: impl Fn(&Meters) -> Option<T>) -> T {
        let Some(live) = self.live() else { return T::default() };
        find(&live.meters).unwrap_or_else(|| {
            if !live.plan.contract.is_omitted(name) {
                live.shared.counters.note(Loss::UndeclaredAttribute, name, "an instrument");
            }
            T::default()
        })
    }

    /// Waits until everything recorded so far is delivered, at most `wait`.
    pub fn flush(&self, wait: Duration) -> Flush {
        match self.live().map(|live| live.shared.settle(wait, &live.plan.clock)) {
            None | Some(0) => Flush::Durable,
            Some(waiting) => Flush::Memory(waiting),
        }
    }

    /// Ends the run, and waits for what is still to be sent at most 250 ms. Later records are lost.
    pub fn finish(&self) {
        self.inner.finish(AT_EXIT);
        self.inner.does_not_wait_again();
    }

    /// Ends the run without waiting; what is queued goes out while the process lives.
    pub fn finish_detached(&self) {
        self.inner.does_not_wait_again();
        self.inner.finish(Duration::ZERO);
    }

    /// Withdraws consent for the rest of this process: nothing is written or sent from here on, and
    /// what waits is dropped. A request that is already on its way completes.
    pub fn withdraw(&self) {
        if let Some(live) = self.live() {
            live.withdrawn.store(true, Ordering::Relaxed);
        }
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.live().map(|live| live.shared.counters.snapshot()).unwrap_or_default()
    }

    /// The reports that [`Usage::start`] would send for `record` on this machine now, without
    /// sending them. Works when collection is off. Reads the machine on the calling thread.
    #[must_use]
    pub fn snapshot(&self, record: impl UsageRecord) -> Vec<Report> {
        match &self.inner.state {
            State::Live(live) => super::preview::run(&live.plan, record, live.direct).start,
            State::Off(builder) => {
                let builder = builder.lock().unwrap_or_else(PoisonError::into_inner);
                builder.preview(record).unwrap_or_default()
            }
        }
    }
}

impl Inner {
    const fn live(&self) -> Option<&Live> {
        match &self.state {
            State::Live(live) => Some(live),
            State::Off(_) => None,
        }
    }

    fn does_not_wait_again(&self) {
        if let Some(live) = self.live() {
            live.detached.store(true, Ordering::Relaxed);
        }
    }

    fn finish(&self, wait: Duration) {
        if let Some(live) = self.live() {
            live.shared.finish();
            if !wait.is_zero() {
                live.shared.settle(wait, &live.plan.clock);
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(live) = self.live() {
            let detached = live.detached.load(Ordering::Relaxed);
            self.finish(if detached { Duration::ZERO } else { AT_EXIT });
            let _ = live.provider.shutdown_with_timeout(Duration::ZERO);
        }
    }
}
