//! Simulates engines on a few threads. Each has its own identity, queue and back-off.
//!
//! Each engine sends one start record and heartbeats, as OTLP requests that the library's own tables
//! make from one sample record, until the collector acknowledges them. The [`Ledger`] notes every step.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant, UNIX_EPOCH};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use opentelemetry::trace::{Link, SpanContext, TraceFlags, TraceState};
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator, SpanData};
use otel_usage::export::ExportRecord;
use otel_usage::schema::flatten;
use otel_usage::schema::resource::INSTANCE_ID;
use otel_usage::schema::{CompiledContract, transport, vllm};
use otel_usage_testing::read;
use otel_usage_testing::sample;
use otel_usage_testing::{Operator, otlp};
use uuid::Uuid;

use super::ledger::{Identity, Ledger, now};
use super::{HEARTBEAT, PATIENCE, Plan, millis};

/// Number of sending threads. Each has its share of the engines, and at most one request in flight.
const SENDERS: usize = 16;

/// Queue and pauses of the library's network exporters.
const QUEUE: usize = 16;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// The parts that all engines share.
pub(super) struct Engines<'a> {
    plan: &'a Plan,
    url: String,
    ledger: &'a Ledger,
    contract: CompiledContract,
    start: (Resource, SpanData),
    beat: (Resource, SpanData),
    begun: Instant,
    /// The time of the first engine's start report. Unit: milliseconds since the Unix epoch.
    first: i64,
    /// Set when no new records are made. Waiting records are still sent.
    ended: OnceLock<Instant>,
}

/// Ends the engines when dropped, so that a failed test ends.
pub(super) struct Living<'a>(pub(super) &'a Engines<'a>);

impl Drop for Living<'_> {
    fn drop(&mut self) {
        self.0.ended.get_or_init(Instant::now);
    }
}

struct Engine {
    id: Uuid,
    run: SpanContext,
    /// The time of its next record. Unit: milliseconds since the Unix epoch.
    time: i64,
    started: bool,
    next: Instant,
    waiting: VecDeque<(Identity, Vec<u8>)>,
    waits: Option<ExponentialBackoff>,
    not_before: Instant,
}

impl<'a> Engines<'a> {
    pub(super) fn new(plan: &'a Plan, collector: SocketAddr, ledger: &'a Ledger) -> Self {
        let operator = Operator::new().with("OTEL_USAGE_EXPORTERS", "otlp");
        let builder = operator.engine(&vllm::CURRENT).with_version(sample::VLLM_VERSION);
        let run = builder.inspect().unwrap().preview_run(sample::vllm_report());
        let parts = |record: &ExportRecord| (record.resource(), record.span());
        Self {
            plan,
            url: format!("http://{collector}/v1/traces"),
            ledger,
            contract: CompiledContract::new(&vllm::CURRENT).unwrap(),
            start: parts(&run.start[0]),
            beat: parts(&run.heartbeat.unwrap()),
            begun: Instant::now(),
            // So that the last records have the time at which they are sent.
            first: now() + millis(plan.time) - plan.stands_for(plan.time),
            ended: OnceLock::new(),
        }
    }

    /// Runs all engines until [`Living`] is dropped and everything is acknowledged.
    pub(super) fn run(&self) {
        std::thread::scope(|scope| {
            for sender in 0..SENDERS {
                scope.spawn(move || self.run_share(sender));
            }
        });
    }

    fn run_share(&self, sender: usize) {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(10)))
            .build()
            .into();
        let mut engines: Vec<Engine> =
            (sender..self.plan.engines).step_by(SENDERS).map(|n| self.engine(n)).collect();
        let mut due: BinaryHeap<_> =
            engines.iter().enumerate().map(|(at, engine)| Reverse((engine.next, at))).collect();
        while let Some(Reverse((when, at))) = due.pop() {
            let engine = &mut engines[at];
            let idle = |engine: &Engine| self.ended.get().is_some() && engine.waiting.is_empty();
            while Instant::now() < when && !idle(engine) {
                let left = when.saturating_duration_since(Instant::now());
                std::thread::sleep(left.min(Duration::from_millis(50)));
            }
            if let Some(next) = self.wake(engine, &agent) {
                due.push(Reverse((next, at)));
            }
        }
    }

    fn engine(&self, number: usize) -> Engine {
        let share = u32::try_from(number).unwrap() + 1;
        let start = self.plan.starting() * share / u32::try_from(self.plan.engines).unwrap();
        let next = self.begun + start;
        Engine {
            id: Uuid::new_v4(),
            run: ids(),
            time: self.first + self.plan.stands_for(start),
            started: false,
            next,
            waiting: VecDeque::new(),
            waits: None,
            not_before: next,
        }
    }

    /// Makes the records that are due, and sends what may be sent. Returns the time of the next call.
    fn wake(&self, engine: &mut Engine, agent: &ureq::Agent) -> Option<Instant> {
        let ended = self.ended.get();
        if ended.is_none() && Instant::now() >= engine.next {
            let record = self.record(engine);
            if engine.waiting.len() < QUEUE {
                engine.waiting.push_back(record);
            }
            // A late engine sends its heartbeat late and does not catch up.
            engine.next = (engine.next + self.plan.beat).max(Instant::now());
        }
        while let Some((identity, body)) = engine.waiting.front()
            && Instant::now() >= engine.not_before
        {
            self.ledger.tried();
            let sent =
                agent.post(&self.url).content_type("application/x-protobuf").send(body.as_slice());
            let status = sent.map(|mut answer| {
                // The answer is read, so that the connection can be used again.
                let _ = answer.body_mut().read_to_vec();
                answer.status().as_u16()
            });
            match status {
                Ok(200..=299) => {
                    self.ledger.acknowledged(*identity);
                    engine.waiting.pop_front();
                    engine.waits = None;
                }
                Ok(408 | 429 | 500..=599) | Err(_) => {
                    let wait = engine.waits.get_or_insert_with(backoff).next();
                    engine.not_before = Instant::now() + wait.unwrap_or(LONGEST_WAIT);
                }
                Ok(other) => panic!("the collector refused a record with {other}"),
            }
        }
        let retry = (!engine.waiting.is_empty()).then_some(engine.not_before);
        if let Some(ended) = ended {
            return retry.filter(|_| ended.elapsed() < PATIENCE);
        }
        Some(retry.map_or(engine.next, |retry| retry.min(engine.next)))
    }

    /// Returns the engine's next record as a request, and the flat message that must result.
    fn record(&self, engine: &mut Engine) -> (Identity, Vec<u8>) {
        let first = !std::mem::replace(&mut engine.started, true);
        let (resource, span) = if first { &self.start } else { &self.beat };
        let known = resource.iter().map(|(key, value)| match key.as_str() {
            INSTANCE_ID => KeyValue::new(INSTANCE_ID, engine.id.to_string()),
            _ => KeyValue::new(key.clone(), value.clone()),
        });
        let resource = Resource::builder_empty().with_attributes(known).build();
        let time = UNIX_EPOCH + Duration::from_millis(u64::try_from(engine.time).unwrap());
        engine.time += millis(HEARTBEAT);
        let mut span = SpanData { start_time: time, end_time: time, ..span.clone() };
        span.span_context = ids();
        span.links.links = vec![Link::with_context(engine.run.clone())];
        for attribute in &mut span.attributes {
            if attribute.key.as_str() == transport::RECORD_ID {
                attribute.value = Value::from(Uuid::new_v4().to_string());
            }
        }
        let environment = read::resource(&self.contract, &resource);
        let lost = &mut |_, what: &str| panic!("{what} is not in the contract");
        let record = read::span(&self.contract, &span, lost).unwrap();
        let message = flatten(&self.contract, &environment, &record).unwrap().to_json();
        let identity = self.ledger.made(&message, first);
        (identity, otlp::encode(&resource, span))
    }
}

fn ids() -> SpanContext {
    let random = RandomIdGenerator::default();
    let (trace, span) = (random.new_trace_id(), random.new_span_id());
    SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::NONE)
}

fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(FIRST_WAIT)
        .with_max_delay(LONGEST_WAIT)
        .with_jitter()
        .without_max_times()
        .build()
}
