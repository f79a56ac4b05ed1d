//! The one thread of a `Usage`: it takes spans from a bounded queue and runs the pipeline.
//!
//! In: [`Shared::push`] from any engine thread (a lock, a move, a wake-up). Between two reports the
//! worker sleeps until the nearest deadline (heartbeat, interval or retry), by monotonic time: after the
//! machine was suspended there is one heartbeat, not a burst.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::{Array, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::SpanData;

use super::Pipeline;
use crate::clock::Clock;
use crate::loss::Loss;
use crate::stats::Counters;

/// Spans that wait for the worker. An engine makes a handful at start; more means a loop gone wild.
const QUEUE: usize = 256;

/// Bytes of text that wait for the worker.
const QUEUE_BYTES: usize = 1024 * 1024;

/// Longest text that is kept until it is sanitized; every field's own cap is shorter.
const TEXT_BYTES: usize = 4096;

/// Unknown kinds that wait to be named; a wrong name is wrong every time.
const UNKNOWN: usize = 16;

/// What the engine's threads and the worker share.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    settled: Condvar,
    pub(crate) counters: Arc<Counters>,
    process: u32,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<SpanData>,
    queue_bytes: usize,
    beat: Vec<KeyValue>,
    /// Kinds that the contract does not have, to be named.
    unknown: Vec<&'static str>,
    finish: bool,
    hurry: bool,
    /// The worker holds spans that it took from the queue.
    busy: bool,
    /// Messages that wait in network sinks.
    pending: usize,
    gone: bool,
}

impl Shared {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            settled: Condvar::new(),
            counters,
            process: std::process::id(),
        }
    }

    /// Whether this is a forked child: the worker does not exist here, and the lock may be held by
    /// a thread that does not exist either.
    pub(crate) fn is_forked(&self) -> bool {
        std::process::id() != self.process
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while it is held leaves a queue that is still a queue.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a span over. Never blocks for longer than the lock, and never grows beyond its bounds.
    pub(crate) fn push(&self, mut span: SpanData) {
        if self.is_forked() {
            self.counters.lost.add(Loss::Forked, 1);
            return;
        }
        let bytes = shorten(&mut span);
        let mut state = self.lock();
        // The worker takes the whole queue at once, and looks before it sleeps: only the first
        // span has to wake it.
        let first = state.queue.is_empty();
        let loss = if state.finish {
            Some(Loss::TooLate)
        } else if state.queue.len() >= QUEUE
            || state.queue_bytes.saturating_add(bytes) > QUEUE_BYTES
        {
            Some(Loss::QueueFull)
        } else {
            state.queue_bytes = state.queue_bytes.saturating_add(bytes);
            state.queue.push_back(span);
            None
        };
        drop(state);
        match loss {
            None if first => self.wake.notify_one(),
            None => {}
            Some(loss) => self.counters.lost.add(loss, 1),
        }
    }

    /// Counts a record of a kind that the contract does not have, and keeps its name for the worker.
    pub(crate) fn unknown(&self, kind: &'static str) {
        self.counters.lost.add(Loss::UnknownRecord, 1);
        if !self.is_forked() {
            let mut state = self.lock();
            if state.unknown.len() < UNKNOWN && !state.unknown.contains(&kind) {
                state.unknown.push(kind);
            }
        }
    }

    /// What the next heartbeat carries.
    pub(crate) fn set_beat(&self, values: Vec<KeyValue>) {
        if !self.is_forked() {
            self.lock().beat = values;
        }
    }

    /// Asks the worker to finish; what is queued still goes out.
    pub(crate) fn finish(&self) {
        if !self.is_forked() {
            let mut state = self.lock();
            state.finish = true;
            state.hurry = true;
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Waits until everything handed over so far is delivered or lost, at most `wait`. Returns how
    /// many messages still wait.
    pub(crate) fn settle(&self, wait: Duration, clock: &Clock) -> usize {
        if self.is_forked() {
            return 0;
        }
        let Some(until) = clock.monotonic().checked_add(wait) else { return 0 };
        let mut state = self.lock();
        state.hurry = true;
        self.wake.notify_one();
        loop {
            let left = until.saturating_duration_since(clock.monotonic());
            let waiting = state.queue.len().saturating_add(state.pending);
            let working = state.busy || state.hurry || waiting > 0;
            if state.gone || !working || left.is_zero() {
                return waiting.max(usize::from(working && !state.gone));
            }
            state =
                self.settled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Cuts texts that are longer than any field allows, and returns the bytes of what is left.
fn shorten(span: &mut SpanData) -> usize {
    let cut = |text: &StringValue| -> Option<StringValue> {
        let text = text.as_str();
        (text.len() > TEXT_BYTES).then(|| {
            text.get(..text.floor_char_boundary(TEXT_BYTES)).unwrap_or("").to_owned().into()
        })
    };
    let mut bytes = 0_usize;
    let events = span.events.events.iter_mut().flat_map(|event| event.attributes.iter_mut());
    for attribute in span.attributes.iter_mut().chain(events) {
        let size = match &mut attribute.value {
            Value::String(text) => {
                if let Some(short) = cut(text) {
                    *text = short;
                }
                text.as_str().len()
            }
            Value::Array(Array::String(words)) => {
                words.truncate(crate::schema::sanitize::LIST);
                for word in words.iter_mut() {
                    if let Some(short) = cut(word) {
                        *word = short;
                    }
                }
                words.iter().map(|word| word.as_str().len()).sum()
            }
            Value::Array(Array::I64(numbers)) => {
                numbers.truncate(crate::schema::sanitize::LIST);
                0
            }
            _ => 0,
        };
        // What an attribute takes without its text.
        bytes = bytes.saturating_add(size).saturating_add(64);
    }
    bytes
}

/// The worker's side.
#[derive(Debug)]
pub(crate) struct Worker {
    shared: Arc<Shared>,
    pipeline: Pipeline,
    next_beat: Option<Instant>,
    next_retry: Option<Instant>,
    finished: bool,
}

impl Worker {
    /// Starts the thread. `false`: the system has none to give, and nothing will be reported.
    pub(crate) fn start(shared: Arc<Shared>, pipeline: Pipeline) -> bool {
        let worker = Self { shared, pipeline, next_beat: None, next_retry: None, finished: false };
        std::thread::Builder::new()
            .name("otel-usage".to_owned())
            .spawn(move || worker.run())
            .is_ok()
    }

    fn run(mut self) {
        loop {
            let work = self.wait();
            for kind in &work.unknown {
                self.shared.counters.name(Loss::UnknownRecord, kind);
            }
            let first = !work.spans.is_empty();
            self.guarded(|worker| {
                for span in &work.spans {
                    worker.pipeline.accept(span);
                }
            });
            if first && self.next_beat.is_none() {
                self.next_beat = self.beat_after_now();
            }
            if work.finish && !self.finished {
                self.finished = true;
                self.next_beat = None;
                self.guarded(|worker| worker.pipeline.finish());
            }
            if self.next_beat.is_some_and(|due| self.now() >= due) {
                self.next_beat = self.beat_after_now();
                self.guarded(|worker| worker.pipeline.heartbeat(&work.beat));
            }
            if self.pipeline.next_interval().is_some_and(|due| self.now() >= due) {
                self.guarded(|worker| worker.pipeline.interval());
            }
            // Local sinks are done; say so before the network gets its turn.
            self.publish(true);
            self.next_retry = None;
            self.guarded(|worker| worker.next_retry = worker.pipeline.pump(work.hurry));
            self.publish(false);
            if self.finished && self.pipeline.pending() == 0 {
                break;
            }
        }
        self.shared.lock().gone = true;
        self.shared.settled.notify_all();
    }

    /// Runs a part of the work; a panic in it costs that part, not the thread.
    fn guarded(&mut self, part: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| part(self))).is_err() {
            self.shared.counters.lost.add(Loss::Panicked, 1);
        }
    }

    fn now(&self) -> Instant {
        self.pipeline.plan().clock.monotonic()
    }

    fn beat_after_now(&self) -> Option<Instant> {
        let (_, interval) = self.pipeline.plan().heartbeat()?;
        self.now().checked_add(interval)
    }

    fn publish(&self, busy: bool) {
        let mut state = self.shared.lock();
        state.pending = self.pipeline.pending();
        state.busy = busy;
        drop(state);
        self.shared.settled.notify_all();
    }

    /// Sleeps until there is something to do, and takes it.
    fn wait(&self) -> Work {
        let mut state = self.shared.lock();
        loop {
            let due = [self.next_beat, self.next_retry, self.pipeline.next_interval()];
            let due = due.into_iter().flatten().min();
            let left = due.map(|due| due.saturating_duration_since(self.now()));
            let news = !state.queue.is_empty() || state.hurry || (state.finish && !self.finished);
            if news || left.is_some_and(|left| left.is_zero()) {
                state.queue_bytes = 0;
                state.busy = true;
                return Work {
                    spans: std::mem::take(&mut state.queue),
                    beat: state.beat.clone(),
                    unknown: std::mem::take(&mut state.unknown),
                    finish: state.finish,
                    hurry: std::mem::take(&mut state.hurry),
                };
            }
            state = match left {
                Some(left) => {
                    self.shared
                        .wake
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
                None => self.shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

struct Work {
    spans: VecDeque<SpanData>,
    beat: Vec<KeyValue>,
    unknown: Vec<&'static str>,
    finish: bool,
    hurry: bool,
}
