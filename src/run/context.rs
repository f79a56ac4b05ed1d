//! The facts that one run knows before anything happens, and the records that the library makes from them.
//!
//! The worker and a preview make records with the same context, and therefore get the same bytes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use otel_usage_schema::{CompiledContract, Loss, Trigger, run, transport};

use super::schedule::{Due, Schedule};
use crate::clock::Clock;
use crate::detectors::{EngineFacts, Machine};
use crate::export::{SpanIds, SpanRecord};
use crate::instruments::Instruments;

#[derive(Debug, Clone)]
pub(crate) struct RunContext {
    pub(crate) contract: Arc<CompiledContract>,
    pub(crate) clock: Clock,
    pub(crate) machine: Machine,
    pub(crate) engine: EngineFacts,
    pub(crate) start: RunStart,
}

/// The start of the run: the moment of initialisation.
#[derive(Debug, Clone)]
pub(crate) struct RunStart {
    ids: SpanIds,
    nanos: i64,
    instant: Instant,
    /// Local time without zone. It is made on the initialising thread, because the C library reads
    /// `TZ` for it.
    local: String,
}

impl RunStart {
    pub(crate) fn now(clock: &Clock) -> Self {
        let nanos = clock.unix_nanos();
        let local = crate::sys::local_time(nanos.div_euclid(1_000_000_000))
            .map(|t| {
                format!(
                    "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
                    t.year, t.month, t.day, t.hour, t.minute, t.second
                )
            })
            .unwrap_or_default();
        Self { ids: SpanIds::random(clock), nanos, instant: clock.monotonic(), local }
    }
}

/// The messages that the library has made for the engine and makes only once.
#[derive(Debug, Default)]
pub(crate) struct Made(Vec<usize>);

impl Made {
    fn first_time(&mut self, message: usize) -> bool {
        let first = !self.0.contains(&message);
        if first {
            self.0.push(message);
        }
        first
    }
}

impl RunContext {
    /// Returns the context of a new instance on the same machine or another.
    pub(super) fn again(&self) -> Self {
        let mut again = self.clone();
        again.engine.instance_id = self.clock.uuid();
        again.start = RunStart::now(&self.clock);
        again
    }

    /// Returns the records to send when the engine makes `record`, in order: those that come before it,
    /// the record itself, and those that come after it.
    pub(crate) fn expand(&self, record: SpanRecord, made: &mut Made) -> Vec<SpanRecord> {
        let kind = record.record.kind(&self.contract).to_owned();
        let mut before = Vec::new();
        let mut after = Vec::new();
        for (index, spec) in self.contract.contract().messages.iter().enumerate() {
            if spec.record == kind {
                // A record that the engine makes itself is not made for it again.
                made.first_time(index);
                continue;
            }
            let place = match &spec.trigger {
                Trigger::Start => &mut before,
                Trigger::After(first) if *first == kind => &mut after,
                _ => continue,
            };
            if made.first_time(index) {
                place.extend(self.make(&spec.record, Vec::new()));
            }
        }
        before.into_iter().chain([self.finished(record)]).chain(after).collect()
    }

    /// Returns the records to send when the run finishes. The last is the span of the run.
    pub(crate) fn finish(&self, made: &mut Made) -> Vec<SpanRecord> {
        let specs = self.contract.contract().messages.iter().enumerate();
        let at_end = specs
            .filter(|(index, spec)| spec.trigger == Trigger::Finish && made.first_time(*index));
        let mut records: Vec<SpanRecord> =
            at_end.filter_map(|(_, spec)| self.make(&spec.record, Vec::new())).collect();
        let now = self.clock.unix_nanos();
        let run = self.contract.read_record(transport::RUN, &[], now, &mut |_, _| {});
        records.extend(run.map(|record| {
            let start_nanos = self.start.nanos;
            let span = SpanRecord { record, ids: self.start.ids, start_nanos, run: None };
            SpanRecord { run: None, ..self.finished(span) }
        }));
        records
    }

    /// Returns the records of a message that is due: one for each list of instrument values.
    pub(super) fn due(
        &self,
        due: Due,
        values: Vec<Vec<KeyValue>>,
        lost: &mut dyn FnMut(Loss, &str),
    ) -> Vec<SpanRecord> {
        let Some(spec) = self.contract.contract().messages.get(due.message) else {
            return Vec::new();
        };
        let made = values.into_iter().filter_map(|mut values| {
            values.push(KeyValue::new(run::SEQUENCE_NUMBER, due.sequence));
            let length = self.clock.between(due.since, due.now);
            values.push(KeyValue::new(run::INTERVAL, seconds(length)));
            // All messages of an interval have one time, by which a receiver joins them.
            self.make_at(&spec.record, values, due.now, lost)
        });
        made.collect()
    }

    /// Returns the first heartbeat and the first messages at intervals of a run whose first record is of
    /// `kind`, with nothing counted.
    pub(crate) fn preview_due(&self, kind: &str) -> Vec<SpanRecord> {
        let contract = self.contract.contract();
        let mut schedule = Schedule::new(None);
        schedule.begin(contract, kind, self.clock.monotonic());
        let instruments = Instruments::new(contract);
        let records = schedule.upcoming().into_iter().flat_map(|due| {
            let values = instruments.take(due.message).unwrap_or_else(|| vec![Vec::new()]);
            self.due(due, values, &mut |_, _| {})
        });
        records.collect()
    }

    /// Makes a record of `kind` now, from `values` and what is known of the run.
    pub(crate) fn make(&self, kind: &str, values: Vec<KeyValue>) -> Option<SpanRecord> {
        self.make_at(kind, values, self.clock.monotonic(), &mut |_, _| {})
    }

    /// Makes a record for the engine: `values` and what is known of the run.
    fn make_at(
        &self,
        kind: &str,
        values: Vec<KeyValue>,
        now: Instant,
        lost: &mut dyn FnMut(Loss, &str),
    ) -> Option<SpanRecord> {
        let duration = self.clock.between(self.start.instant, now);
        // The engine's own values come later and are kept.
        let known = [
            KeyValue::new(run::START_TIME, self.start.local.clone()),
            KeyValue::new(run::DURATION, seconds(duration)),
        ];
        let values: Vec<KeyValue> = known.into_iter().chain(values).collect();
        let nanos = self.clock.unix_nanos();
        let record = self.contract.read_record(kind, &values, nanos, &mut |loss, name| {
            // Most contracts do not declare what is known of the run, and lose nothing by that.
            if !run::ALL.contains(&name) {
                lost(loss, name);
            }
        })?;
        let ids = SpanIds::random(&self.clock);
        Some(self.finished(SpanRecord { record, ids, start_nanos: nanos, run: None }))
    }

    /// Runs the sanitizers, links the record to the run, and gives it an identity if it has none.
    fn finished(&self, mut span: SpanRecord) -> SpanRecord {
        self.contract.sanitize_record(&mut span.record);
        if span.record.id().is_empty() {
            span.record.set_id(self.clock.uuid());
        }
        span.run = Some(self.start.ids);
        span
    }
}

/// Returns seconds with microseconds, as Python's clock gives them.
fn seconds(duration: Duration) -> f64 {
    Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)).as_secs_f64()
}
