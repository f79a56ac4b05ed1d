//! The handle that an engine holds.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use otel_usage_schema::transport::SCOPE;
use otel_usage_schema::{Contract, Decision, Loss, UsageRecord};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::builder::Builder;
use crate::export::ExportRecord;
use crate::inspect;
use crate::instruments::{Counter, Gauge, Histogram, Instruments, Series};
use crate::layer::{FilteredLayer, UsageLayer};
use crate::run::{Left, Queue, RunContext, provider};
use crate::stats::Stats;
use crate::sys::Process;

/// Longest time that queued messages may delay the end of an engine.
const AT_EXIT: Duration = Duration::from_millis(250);

/// The usage reporting of one engine: a cheap handle, shared by cloning.
///
/// If collection is off, every call does nothing. The last drop finishes the run and waits for the
/// server at most 250 ms. On an async thread, call [`Usage::finish_detached`] before it, which never
/// waits.
///
/// # Examples
///
/// ```
/// use otel_usage::schema::lmcache;
/// use otel_usage::Usage;
/// # use otel_usage::Consent;
///
/// let usage = Usage::builder(&lmcache::V1)
///     .with_version("0.5.6")
/// #   .with_consent(Consent::Off)
///     .init();
/// usage.record(lmcache::Engine { chunk_size: 256, ..Default::default() });
/// usage.finish();
/// ```
#[derive(Clone)]
#[must_use = "dropping the last handle ends the run"]
pub struct Usage {
    inner: Arc<Inner>,
}

/// The result of [`Usage::flush`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub enum Flush {
    /// No message waits, and none was lost since the last flush.
    Settled,
    /// The messages that still wait for their server are on disk, and survive the end of the process and a power cut.
    /// The next process with the same destination sends them, unless it is then too late for them.
    Durable,
    /// This many messages wait in memory. They are lost if the process dies now.
    Memory(usize),
    /// This many messages were lost since the last flush, for reasons in [`Usage::stats`]: refused by their
    /// server, too old, without room, or not written to a file. Those that an opt-out or a newer heartbeat
    /// dropped do not count. The next flush says what becomes of the others.
    Lost(usize),
}

/// Prints only whether reporting is enabled, because settings may hold secrets.
impl fmt::Debug for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Usage").field("enabled", &self.is_enabled()).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Inner {
    decision: Decision,
    process: Process,
    state: State,
}

#[derive(Debug)]
pub(crate) enum State {
    Live(Box<Live>),
    /// Collection is off, and the builder is kept for previews. The lock makes the handle `Sync`, because
    /// an engine's own exporter need not be.
    Off(Box<Mutex<Builder>>),
}

#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) context: Arc<RunContext>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) instruments: Arc<Instruments>,
    /// The private provider of the layer's spans, if the engine asked for a layer.
    pub(crate) provider: OnceLock<SdkTracerProvider>,
    pub(crate) withdrawn: Arc<AtomicBool>,
    /// Whether this process posts to the usage server itself.
    pub(crate) direct: bool,
    /// Whether the run was finished already, so that the drop does not wait again.
    pub(crate) finished: AtomicBool,
}

impl Usage {
    /// Returns a builder for `contract`. There is no default contract.
    pub fn builder(contract: &Contract) -> Builder {
        Builder::new(contract)
    }

    pub(crate) fn new(decision: Decision, state: State) -> Self {
        Self { inner: Arc::new(Inner { decision, process: Process::current(), state }) }
    }

    fn live(&self) -> Option<&Live> {
        self.inner.live()
    }

    /// Returns what is needed to record, or `None` if collection is off or in a forked child. There, what
    /// is said is counted as lost, and no lock is taken.
    fn recording(&self) -> Option<&Live> {
        let live = self.live()?;
        if live.queue.is_forked() {
            live.queue.count_forked();
            return None;
        }
        Some(live)
    }

    /// Returns whether collection is on. A forked child sends nothing, so that it is off there.
    ///
    /// `Some(usage).filter(Usage::is_enabled)` is `None` if it is off.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.live().is_some_and(|live| !live.queue.is_forked())
    }

    /// Returns the consent at initialisation, and the switch that decided it.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        &self.inner.decision
    }

    /// Returns the `tracing` layer, which turns spans and events of target `otel_usage` into records.
    ///
    /// The name of the span or event is the record's kind. The layer obeys the engine's global filter:
    /// with `EnvFilter("error")` an `info` event never reaches it. Use [`Usage::record`] for records that
    /// must not be lost. Call this on the initialising thread, because the first call makes a tracer
    /// provider, and the OpenTelemetry SDK reads the environment for it. Returns `None` if collection is
    /// off, or in a forked child.
    ///
    /// # Examples
    ///
    /// ```
    /// use otel_usage::schema::lmcache;
    /// use otel_usage::Usage;
    /// use tracing::{Level, event};
    /// use tracing_subscriber::prelude::*;
    /// # use otel_usage::Consent;
    ///
    /// let usage = Usage::builder(&lmcache::V1)
    /// #   .with_consent(Consent::Off)
    ///     .init();
    /// let subscriber = tracing_subscriber::registry().with(usage.layer());
    /// tracing::subscriber::with_default(subscriber, || {
    ///     event!(name: "lmcache.engine", target: "otel_usage", Level::INFO, lmcache.chunk_size = 256);
    /// });
    /// ```
    #[must_use]
    pub fn layer<S>(&self) -> Option<impl Layer<S> + Send + Sync + use<S>>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let live = self.live().filter(|live| !live.queue.is_forked())?;
        Some(FilteredLayer::new(UsageLayer::new(
            Arc::clone(&live.context.contract),
            Arc::clone(&live.queue),
            live.provider.get_or_init(|| provider(Arc::clone(&live.queue))).tracer(SCOPE),
            live.context.clock.clone(),
        )))
    }

    /// Records something that the engine says, at any time.
    ///
    /// The first record starts the worker. Messages that the contract sends before or after this record
    /// (the environment, the metadata of the run) go out with it, and heartbeats begin. The call returns
    /// at once; a record that cannot be kept is counted in [`Usage::stats`]. Do not call it from a signal
    /// handler: like every call of this library apart from those of instruments, it may take a lock.
    pub fn record(&self, record: impl UsageRecord) {
        let Some(live) = self.recording() else { return };
        let kind = record.kind().to_owned();
        live.queue.record(kind.into(), record.attributes(), &live.context.clock);
    }

    /// Sets the values that the next heartbeats carry. It sends nothing, because heartbeats go out by
    /// themselves.
    pub fn set_heartbeat(&self, values: impl UsageRecord) {
        if let Some(live) = self.live() {
            live.queue.set_heartbeat(values.attributes());
        }
    }

    /// Returns the counter of this attribute, for example [`lmcache::usage::TOKENS_STORED`]. Its sum is
    /// sent at every interval and starts again at zero.
    ///
    /// Ask for it once and keep it, because adding to it is one atomic operation. A counter that the
    /// contract does not have does nothing and is counted as a loss.
    ///
    /// # Examples
    ///
    /// ```
    /// use otel_usage::schema::lmcache::{self, usage};
    /// use otel_usage::Usage;
    /// # use otel_usage::Consent;
    ///
    /// let engine = Usage::builder(&lmcache::V1)
    /// #   .with_consent(Consent::Off)
    ///     .init();
    /// let hits = engine.counter(usage::TOKENS_HIT);
    /// hits.add(256);
    /// ```
    ///
    /// [`lmcache::usage::TOKENS_STORED`]: crate::schema::lmcache::usage::TOKENS_STORED
    #[must_use]
    pub fn counter(&self, attribute: &str) -> Counter {
        self.instrument(attribute, |instruments| instruments.counter(attribute))
    }

    /// Returns the gauge of this attribute, whose last value is sent at every interval. Otherwise it is
    /// like [`Usage::counter`].
    #[must_use]
    pub fn gauge(&self, attribute: &str) -> Gauge {
        self.instrument(attribute, |instruments| instruments.gauge(attribute))
    }

    /// Returns the histogram of this attribute, whose counts of samples by size are sent at every
    /// interval. Otherwise it is like [`Usage::counter`].
    #[must_use]
    pub fn histogram(&self, attribute: &str) -> Histogram {
        self.instrument(attribute, |instruments| instruments.histogram(attribute))
    }

    /// Returns the series `name` of the attribute `dimension`, which has instruments of its own.
    ///
    /// There are 64 series at most. Keep the series until the end of the run is reported; with
    /// [`Usage::finish_detached`] that is later than the call. Otherwise it is like [`Usage::counter`].
    #[must_use]
    pub fn series(&self, dimension: &str, name: &str) -> Series {
        self.instrument(dimension, |instruments| instruments.series(dimension, name))
    }

    fn instrument<T: Default>(&self, name: &str, find: impl Fn(&Instruments) -> Option<T>) -> T {
        let Some(live) = self.recording() else { return T::default() };
        find(&live.instruments).unwrap_or_else(|| {
            if !live.context.contract.is_omitted(name) {
                live.queue.counters.note(Loss::UndeclaredAttribute, name, "an instrument");
            }
            T::default()
        })
    }

    /// Waits until every message so far is delivered, lost or on disk, at most `wait`.
    ///
    /// Messages that wait are tried once more, and go to disk if they cannot be sent then.
    pub fn flush(&self, wait: Duration) -> Flush {
        let left = self.live().map(|live| live.queue.settle(wait, &live.context.clock));
        let lost = self.live().map_or(0, |live| live.queue.take_lost());
        match left.unwrap_or_default() {
            _ if lost > 0 => Flush::Lost(lost),
            Left { queued: 0, spooled: 0 } => Flush::Settled,
            Left { queued: 0, .. } => Flush::Durable,
            Left { queued, .. } => Flush::Memory(queued),
        }
    }

    /// Ends the run and waits for delivery, at most 250 ms. Later records are lost.
    pub fn finish(&self) {
        self.inner.finish(AT_EXIT);
    }

    /// Ends the run without waiting. Queued messages go out while the process lives.
    pub fn finish_detached(&self) {
        self.inner.finish(Duration::ZERO);
    }

    /// Withdraws consent for the rest of this process.
    ///
    /// Nothing is written or sent from now on, and queued messages are dropped. A request that is on its
    /// way completes.
    pub fn withdraw(&self) {
        if let Some(live) = self.live() {
            live.withdrawn.store(true, Ordering::Relaxed);
            // It deletes what is on disk.
            live.queue.wake_worker();
        }
    }

    /// Returns the accounts so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.live().map(|live| live.queue.counters.snapshot()).unwrap_or_default()
    }

    /// Returns the records that [`Usage::record`] would send for `record` on this machine now.
    ///
    /// Nothing is sent, and it works if collection is off. It reads the machine on the calling thread and
    /// may therefore block.
    #[must_use]
    pub fn preview(&self, record: impl UsageRecord) -> Vec<ExportRecord> {
        match &self.inner.state {
            State::Live(live) => inspect::run(&live.context, record, live.direct).start,
            State::Off(builder) => {
                let builder = if self.inner.process.is_forked() {
                    // A thread that does not exist here may hold the lock.
                    let Ok(builder) = builder.try_lock() else { return Vec::new() };
                    builder
                } else {
                    builder.lock().unwrap_or_else(PoisonError::into_inner)
                };
                let inspection = builder.look();
                inspection.map(|found| found.preview(record)).unwrap_or_default()
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

    fn finish(&self, wait: Duration) {
        if let Some(live) = self.live() {
            live.finished.store(true, Ordering::Relaxed);
            live.queue.finish();
            if !wait.is_zero() {
                live.queue.settle(wait, &live.context.clock);
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(live) = self.live() {
            let finished = live.finished.load(Ordering::Relaxed);
            self.finish(if finished { Duration::ZERO } else { AT_EXIT });
            if let Some(provider) = live.provider.get() {
                let _ = provider.shutdown_with_timeout(Duration::ZERO);
            }
        }
    }
}
