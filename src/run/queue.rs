//! The bounded queue between the engine's threads and the worker.
//!
//! Recording is a lock, a move and a wake-up. The first record starts the worker's thread, so that a
//! process that never records has no thread of ours.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry_sdk::trace::SpanData;
use otel_usage_schema::Loss;

use super::bounds::{shorten, shorten_span};
use super::sync::{Condvar, Mutex, MutexGuard};
use super::{PipelineParts, worker};
use crate::clock::Clock;
use crate::export::SpanIds;
use crate::stats::Counters;
use crate::sys::Process;

/// Most spans that wait. An engine makes a handful at its start; more means a loop without end.
const SPANS: usize = 256;

/// Most bytes that wait, and most bytes of a heartbeat's values.
const BYTES: usize = 1024 * 1024;

/// Time before the end of a caller's wait at which what is left goes to disk: a few syncs of a slow disk, and
/// most of the 250 ms of an engine's end are left for delivery.
const SAVING: Duration = Duration::from_millis(100);

/// Most unknown kinds that wait to be logged.
const UNKNOWN: usize = 16;

#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    settled: Condvar,
    pub(crate) counters: Arc<Counters>,
    process: Process,
}

#[derive(Debug, Default)]
struct State {
    /// The parts of the pipeline, until the first record starts the worker.
    parts: Option<Box<PipelineParts>>,
    spans: VecDeque<SpanData>,
    bytes: usize,
    heartbeat: Arc<Vec<KeyValue>>,
    unknown: Vec<&'static str>,
    finish: bool,
    urgent: bool,
    /// Whether a request was answered, or consent was withdrawn.
    woken: bool,
    /// The threads that wait.
    callers: Vec<Caller>,
    /// Whether the worker holds spans that it took.
    busy: bool,
    /// Messages that wait in the exporters' memory or are on their way from there.
    queued: usize,
    /// Messages that are on disk.
    spooled: usize,
    /// Whether a request is on its way.
    in_flight: bool,
    /// Whether the worker has ended.
    gone: bool,
    /// The losses of which a caller was told.
    told: u64,
}

/// A thread that waits for what is queued.
#[derive(Debug)]
struct Caller {
    /// The time from which on what waits goes to disk.
    save_at: Instant,
    /// Whether the worker was told that the time has come.
    told: bool,
}

/// The messages that are left when a caller stops waiting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Left {
    /// Messages in memory.
    pub(crate) queued: usize,
    /// Messages on disk.
    pub(crate) spooled: usize,
}

/// The work that the worker takes from the queue.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) spans: VecDeque<SpanData>,
    pub(super) heartbeat: Arc<Vec<KeyValue>>,
    pub(super) unknown: Vec<&'static str>,
    pub(super) finish: bool,
    pub(super) urgent: bool,
    /// Whether the time of a caller is nearly up.
    pub(super) save: bool,
}

impl Queue {
    pub(crate) fn new(parts: PipelineParts) -> Self {
        Self {
            counters: Arc::clone(&parts.counters),
            state: Mutex::new(State { parts: Some(Box::new(parts)), ..State::default() }),
            wake: Condvar::new(),
            settled: Condvar::new(),
            process: Process::current(),
        }
    }

    /// Returns whether this is a forked child, which has no worker.
    pub(crate) fn is_forked(&self) -> bool {
        self.process.is_forked()
    }

    /// Counts something that a forked child loses.
    pub(crate) fn count_forked(&self) {
        self.counters.lost.add(Loss::Forked, 1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held leaves a valid queue.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a record that is made now.
    pub(crate) fn record(
        self: &Arc<Self>,
        kind: Cow<'static, str>,
        attributes: Vec<KeyValue>,
        clock: &Clock,
    ) {
        let nanos = clock.unix_nanos();
        self.push(SpanIds::random(clock).span(kind, nanos, nanos, attributes));
    }

    /// Queues a span, and starts the worker if it is the first one.
    pub(crate) fn push(self: &Arc<Self>, mut span: SpanData) {
        if self.is_forked() {
            self.count_forked();
            return;
        }
        let bytes = shorten_span(&mut span);
        let mut state = self.lock();
        // The worker takes all spans at once, so only the first one has to wake it.
        let first = state.spans.is_empty();
        let full = state.spans.len() >= SPANS || state.bytes.saturating_add(bytes) > BYTES;
        let loss = if state.finish || state.gone {
            Some(Loss::TooLate)
        } else if full {
            Some(Loss::QueueFull)
        } else {
            state.bytes = state.bytes.saturating_add(bytes);
            state.spans.push_back(span);
            None
        };
        let parts = if loss.is_none() { state.parts.take() } else { None };
        drop(state);
        if let Some(loss) = loss {
            self.counters.lost.add(loss, 1);
        } else if let Some(parts) = parts {
            let notifier = parts.notifier.clone();
            if !worker::start(Arc::clone(self), *parts) {
                self.give_up();
                notifier.warn("no thread could be started; usage reporting is off in this process");
            }
        } else if first {
            self.wake.notify_one();
        }
    }

    /// Counts all that waits as lost, because there is no worker.
    fn give_up(&self) {
        let mut state = self.lock();
        state.gone = true;
        let lost = state.spans.len() as u64;
        state.spans.clear();
        drop(state);
        self.counters.lost.add(Loss::TooLate, lost);
        self.settled.notify_all();
    }

    /// Counts a record of an unknown kind, and keeps the kind for the worker to log.
    ///
    /// An event of ours from inside the layer would disturb the filters of the engine's other layers.
    pub(crate) fn unknown(&self, kind: &'static str) {
        self.counters.lost.add(Loss::UnknownRecord, 1);
        if !self.is_forked() {
            let mut state = self.lock();
            if state.unknown.len() < UNKNOWN && !state.unknown.contains(&kind) {
                state.unknown.push(kind);
            }
        }
    }

    /// Sets the values that the next heartbeats carry. Values of more than [`BYTES`] are lost as a whole.
    pub(crate) fn set_heartbeat(&self, mut values: Vec<KeyValue>) {
        if self.is_forked() {
            return;
        }
        if shorten(&mut values) > BYTES {
            self.counters.lost.add(Loss::QueueFull, 1);
            values = Vec::new();
        }
        let mut values = Arc::new(values);
        std::mem::swap(&mut self.lock().heartbeat, &mut values);
        // The old values are freed here, when the lock is free again.
    }

    /// Asks the worker to finish. Messages that wait still go out.
    pub(crate) fn finish(&self) {
        if !self.is_forked() {
            let mut state = self.lock();
            state.finish = true;
            state.urgent = true;
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Wakes the worker, because a request was answered or consent was withdrawn.
    pub(crate) fn wake_worker(&self) {
        if !self.is_forked() {
            self.lock().woken = true;
            self.wake.notify_one();
        }
    }

    /// Waits until everything queued so far is delivered or lost, at most `wait`. Shortly before that what is
    /// left goes to disk.
    pub(crate) fn settle(&self, wait: Duration, clock: &Clock) -> Left {
        let now = clock.monotonic();
        let Some(until) = now.checked_add(wait).filter(|_| !self.is_forked()) else {
            return Left::default();
        };
        let save_at =
            until.checked_sub(SAVING.min(wait.checked_div(2).unwrap_or_default())).unwrap_or(now);
        let mut state = self.lock();
        if state.parts.is_some() {
            // Nothing was ever recorded.
            return Left::default();
        }
        state.urgent = true;
        state.callers.push(Caller { save_at, told: false });
        self.wake.notify_one();
        loop {
            let now = clock.monotonic();
            let waiting = state.spans.len().saturating_add(state.queued);
            let working = state.busy || state.urgent || waiting > 0;
            // From `save_at` on it is enough that all is on disk.
            let hopes = state.in_flight && now < save_at;
            if state.gone || !(working || hopes) || now >= until {
                let place = state.callers.iter().position(|caller| caller.save_at == save_at);
                place.map(|place| state.callers.swap_remove(place));
                let queued = waiting.max(usize::from(working && !state.gone));
                return Left { queued, spooled: state.spooled };
            }
            let next = if now < save_at { save_at } else { until };
            let left = next.saturating_duration_since(now);
            let waited = self.settled.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Returns how many messages were lost since the last call.
    pub(crate) fn take_lost(&self) -> usize {
        if self.is_forked() {
            return 0;
        }
        let mut state = self.lock();
        let lost = self.counters.lost_messages();
        let new = lost.saturating_sub(std::mem::replace(&mut state.told, lost));
        usize::try_from(new).unwrap_or(usize::MAX)
    }

    /// Sleeps until there is work or until `due`, and takes the work. Called by the worker.
    pub(super) fn wait(&self, due: Option<Instant>, finished: bool, clock: &Clock) -> Work {
        let mut state = self.lock();
        loop {
            let now = clock.monotonic();
            let saves = state.callers.iter().filter(|caller| !caller.told);
            let due = due.into_iter().chain(saves.map(|caller| caller.save_at)).min();
            let left = due.map(|due| due.saturating_duration_since(now));
            let news = !state.spans.is_empty()
                || state.urgent
                || state.woken
                || (state.finish && !finished);
            if news || left.is_some_and(|left| left.is_zero()) {
                let mut save = false;
                for caller in state.callers.iter_mut().filter(|caller| caller.save_at <= now) {
                    caller.told = true;
                    save = true;
                }
                state.bytes = 0;
                state.busy = true;
                state.woken = false;
                return Work {
                    spans: std::mem::take(&mut state.spans),
                    heartbeat: Arc::clone(&state.heartbeat),
                    unknown: std::mem::take(&mut state.unknown),
                    finish: state.finish,
                    urgent: std::mem::take(&mut state.urgent),
                    save,
                };
            }
            state = match left {
                Some(left) => {
                    let waited = self.wake.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Tells waiting threads how many messages wait in the exporters' memory, how many on disk, and whether a
    /// request is on its way. Called by the worker.
    pub(super) fn publish(&self, (queued, spooled): (usize, usize), in_flight: bool, busy: bool) {
        let mut state = self.lock();
        state.queued = queued;
        state.spooled = spooled;
        state.in_flight = in_flight;
        state.busy = busy;
        drop(state);
        self.settled.notify_all();
    }

    /// Tells waiting threads that the worker has ended.
    pub(super) fn end(&self) {
        self.lock().gone = true;
        self.settled.notify_all();
    }
}
