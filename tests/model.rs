//! Tries every order in which the engine's threads and the worker can meet at the queue.
//!
//! The queue is the library's own file. `loom` takes the place of the standard library's locks, runs a scenario once
//! for each order of their calls, and finds a wake-up that is lost as a deadlock. The parts around the queue are made
//! up here: the worker takes spans and delivers them at once, and time stands still, so that nothing ends because a
//! time limit passed.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "it holds the library's file beside what that file needs, and fails by panicking"
)]

mod clock {
    use std::time::Instant;

    /// Time that stands still.
    #[derive(Debug, Clone)]
    pub struct Clock(pub Instant);

    impl Clock {
        pub fn unix_nanos(&self) -> i64 {
            0
        }

        pub fn monotonic(&self) -> Instant {
            self.0
        }
    }
}

mod export {
    use std::borrow::Cow;

    use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status};
    use opentelemetry::{InstrumentationScope, KeyValue};
    use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

    #[derive(Debug)]
    pub struct SpanIds;

    impl SpanIds {
        pub fn random(_: &crate::clock::Clock) -> Self {
            Self
        }

        pub fn span(
            self,
            name: Cow<'static, str>,
            _: i64,
            _: i64,
            attributes: Vec<KeyValue>,
        ) -> SpanData {
            SpanData {
                span_context: SpanContext::NONE,
                parent_span_id: SpanId::INVALID,
                parent_span_is_remote: false,
                span_kind: SpanKind::Internal,
                name,
                start_time: std::time::UNIX_EPOCH,
                end_time: std::time::UNIX_EPOCH,
                attributes,
                dropped_attributes_count: 0,
                events: SpanEvents::default(),
                links: SpanLinks::default(),
                status: Status::Unset,
                instrumentation_scope: InstrumentationScope::default(),
            }
        }
    }
}

mod stats {
    use std::sync::atomic::{AtomicU64, Ordering};

    use otel_usage_schema::Loss;

    /// Counts what is lost, for whatever reason.
    #[derive(Debug, Default)]
    pub struct Losses(pub AtomicU64);

    impl Losses {
        pub fn add(&self, _: Loss, count: u64) {
            self.0.fetch_add(count, Ordering::Relaxed);
        }
    }

    #[derive(Debug, Default)]
    pub struct Counters {
        pub lost: Losses,
    }

    impl Counters {
        pub fn lost_messages(&self) -> u64 {
            0
        }
    }
}

mod sys {
    #[derive(Debug)]
    pub struct Process;

    impl Process {
        pub fn current() -> Self {
            Self
        }

        pub fn is_forked(&self) -> bool {
            false
        }
    }
}

#[path = "../src/run/queue.rs"]
mod queue;

mod bounds {
    use opentelemetry::KeyValue;
    use opentelemetry_sdk::trace::SpanData;

    pub fn shorten(_: &mut [KeyValue]) -> usize {
        1
    }

    pub fn shorten_span(_: &mut SpanData) -> usize {
        1
    }
}

/// The locks that loom watches.
mod sync {
    pub use loom::sync::{Condvar, Mutex, MutexGuard};
}

/// The thread that the scenario asks for.
mod worker {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use loom::sync::Mutex;

    use super::{PipelineParts, Queue};
    use crate::{Model, Way};

    pub fn start(queue: Arc<Queue>, parts: PipelineParts) -> bool {
        if parts.model.no_thread {
            return false;
        }
        loom::thread::spawn(move || work(&parts.model, &queue));
        true
    }

    /// Does with the queue what `src/run/worker.rs` does.
    fn work(model: &Model, queue: &Arc<Queue>) {
        let (mut waiting, mut spooled) = (0, 0);
        let (mut in_flight, mut finished) = (false, false);
        // Not an atomic, whose stale values loom lets a swap write again, so that the answer is gone.
        let answered = Arc::new(Mutex::new(false));
        loop {
            let work = queue.wait(None, finished, &model.clock);
            waiting += work.spans.len();
            model.taken.fetch_add(work.spans.len() as u64, Ordering::Relaxed);
            finished |= work.finish;
            queue.publish((waiting, spooled), false, true);
            match model.way {
                Way::AtOnce => waiting = 0,
                Way::OnDisk if work.urgent => spooled += std::mem::take(&mut waiting),
                Way::OnDisk => {}
                Way::Request => {
                    if std::mem::take(&mut *answered.lock().unwrap()) {
                        in_flight = false;
                        waiting -= 1;
                    }
                    if waiting > 0 && !in_flight {
                        in_flight = true;
                        let (answered, queue) = (Arc::clone(&answered), Arc::clone(queue));
                        loom::thread::spawn(move || {
                            *answered.lock().unwrap() = true;
                            queue.wake_worker();
                        });
                    }
                }
            }
            queue.publish((waiting, spooled), in_flight, false);
            if finished && !in_flight && waiting == 0 {
                break;
            }
        }
        queue.end();
    }
}

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clock::Clock;
use queue::{Left, Queue};
use stats::Counters;

#[derive(Debug, Clone)]
pub struct Notifier;

impl Notifier {
    pub fn warn(&self, _: &str) {}
}

#[derive(Debug)]
pub struct PipelineParts {
    pub counters: Arc<Counters>,
    pub notifier: Notifier,
    pub model: Model,
}

/// The end of a message in a turn of the worker.
#[derive(Debug, Clone, Copy)]
pub enum Way {
    /// It is delivered.
    AtOnce,
    /// It waits in memory, and goes to disk as soon as a flush asks.
    OnDisk,
    /// A thread of its own delivers it, and wakes the worker.
    Request,
}

/// A worker of a scenario, and what it did.
#[derive(Debug, Clone)]
pub struct Model {
    no_thread: bool,
    way: Way,
    clock: Clock,
    taken: Arc<AtomicU64>,
}

const LONG: Duration = Duration::from_secs(60);

impl Model {
    fn new() -> Self {
        let (clock, taken) = (Clock(Instant::now()), Arc::default());
        Self { no_thread: false, way: Way::AtOnce, clock, taken }
    }

    fn queue(&self) -> Arc<Queue> {
        let counters = Arc::new(Counters::default());
        Arc::new(Queue::new(PipelineParts { counters, notifier: Notifier, model: self.clone() }))
    }

    fn record(&self, queue: &Arc<Queue>) {
        queue.record("report".into(), Vec::new(), &self.clock);
    }

    /// Checks that everything was taken or counted as lost.
    fn check(&self, queue: &Queue, records: u64) {
        let lost = queue.counters.lost.0.load(Ordering::Relaxed);
        assert_eq!(self.taken.load(Ordering::Relaxed) + lost, records);
    }
}

/// Runs a scenario in every order in which at most two threads are interrupted, which takes a second or two. Three take ten
/// times as long and found nothing more.
fn in_every_order(scenario: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(scenario);
}

#[test]
fn in_every_order_a_flush_returns_after_all_that_was_recorded_before_it() {
    in_every_order(|| {
        let model = Model::new();
        let queue = model.queue();
        let (other, others) = (model.clone(), Arc::clone(&queue));
        let thread = loom::thread::spawn(move || {
            other.record(&others);
            assert_eq!(others.settle(LONG, &other.clock), Left::default());
        });
        model.record(&queue);
        assert_eq!(queue.settle(LONG, &model.clock), Left::default());
        thread.join().unwrap();
        model.check(&queue, 2);
        queue.finish();
    });
}

#[test]
fn in_every_order_a_flush_wakes_a_worker_whose_message_waits() {
    in_every_order(|| {
        let model = Model { way: Way::OnDisk, ..Model::new() };
        let queue = model.queue();
        model.record(&queue);
        assert_eq!(queue.settle(LONG, &model.clock).spooled, 1);
        model.record(&queue);
        assert_eq!(queue.settle(LONG, &model.clock), Left { queued: 0, spooled: 2 });
        model.check(&queue, 2);
        queue.finish();
    });
}

#[test]
fn in_every_order_a_flush_waits_for_the_answer_to_a_request() {
    in_every_order(|| {
        let model = Model { way: Way::Request, ..Model::new() };
        let queue = model.queue();
        model.record(&queue);
        assert_eq!(queue.settle(LONG, &model.clock), Left::default());
        model.record(&queue);
        queue.finish();
        assert_eq!(queue.settle(LONG, &model.clock), Left::default());
        model.check(&queue, 2);
    });
}

#[test]
fn in_every_order_the_end_of_a_worker_releases_a_flush_and_counts_what_comes_later() {
    in_every_order(|| {
        let model = Model::new();
        let queue = model.queue();
        let (other, others) = (model.clone(), Arc::clone(&queue));
        model.record(&queue);
        let thread = loom::thread::spawn(move || {
            other.record(&others);
            others.settle(LONG, &other.clock)
        });
        queue.finish();
        assert_eq!(queue.settle(LONG, &model.clock), Left::default());
        assert_eq!(thread.join().unwrap(), Left::default());
        model.check(&queue, 2);
    });
}

#[test]
fn in_every_order_a_flush_returns_if_no_thread_can_be_started() {
    in_every_order(|| {
        let model = Model { no_thread: true, ..Model::new() };
        let queue = model.queue();
        let (other, others) = (model.clone(), Arc::clone(&queue));
        let thread = loom::thread::spawn(move || {
            other.record(&others);
            others.settle(LONG, &other.clock);
        });
        model.record(&queue);
        queue.settle(LONG, &model.clock);
        thread.join().unwrap();
        model.check(&queue, 2);
    });
}
