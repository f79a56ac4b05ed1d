//! What one `Usage` knows before anything runs: the pure part of its pipeline.
//!
//! In: a contract, the environment snapshot, the engine's own facts. Out: the [`Environment`], and
//! for each record the reports that belong to it. A preview and the worker ask the same questions
//! here, so they get the same bytes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry::{KeyValue, Value};

use super::Helper;
use crate::clock::Clock;
use crate::loss::Loss;
use crate::probe::{Accelerators, Facts, Machine, probe};
use crate::resource;
use crate::schema::{CompiledContract, Environment, Record, TraceIds, Trigger, lmcache, transport};

/// Time for the whole probe. It takes well under a millisecond; a driver that initialises its
/// devices may take a second or two. What is not known by then is missing from the report.
const PROBE: Duration = Duration::from_secs(5);

/// What the engine says about itself and its devices.
#[derive(Debug, Clone, Default)]
pub(crate) struct EngineFacts {
    pub(crate) version: Option<String>,
    pub(crate) accelerators: Option<Accelerators>,
    pub(crate) attributes: Vec<(String, Value)>,
}

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) contract: Arc<CompiledContract>,
    pub(crate) clock: Clock,
    pub(crate) machine: Machine,
    pub(crate) engine: EngineFacts,
    pub(crate) instance_id: String,
    /// The engine's configuration directory, in which LMCache keeps its machine id.
    pub(crate) directory: Option<PathBuf>,
    /// `VLLM_USAGE_SOURCE`.
    pub(crate) source: Option<String>,
    pub(crate) run: Run,
}

/// What was read from this machine's files and devices.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    pub(crate) facts: Facts,
    pub(crate) machine_id: Option<String>,
}

impl Found {
    /// Keeps what is known so far.
    fn learn(&mut self, facts: &Facts, machine_id: Option<&str>) {
        self.facts.learn(facts);
        if self.machine_id.is_none() {
            self.machine_id = machine_id.map(str::to_owned);
        }
    }
}

/// The run, from the initialiser on.
#[derive(Debug)]
pub(crate) struct Run {
    ids: TraceIds,
    started_nanos: i64,
    started: Instant,
    /// Local time without zone; worked out on the initialising thread, because the C library
    /// reads `TZ` for it.
    started_local: String,
}

impl Run {
    pub(crate) fn begin(clock: &Clock) -> Self {
        let started_nanos = clock.unix_nanos();
        let (trace, span) = clock.span_ids();
        let started_local = crate::sys::local_time(started_nanos.div_euclid(1_000_000_000))
            .map(|t| {
                format!(
                    "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
                    t.year, t.month, t.day, t.hour, t.minute, t.second
                )
            })
            .unwrap_or_default();
        Self {
            ids: TraceIds { trace, span },
            started_nanos,
            started: clock.monotonic(),
            started_local,
        }
    }
}

/// Which messages that are made for the engine are done.
#[derive(Debug, Default)]
pub(crate) struct Progress(Vec<usize>);

impl Progress {
    fn first_time(&mut self, message: usize) -> bool {
        let first = !self.0.contains(&message);
        if first {
            self.0.push(message);
        }
        first
    }
}

impl Plan {
    /// Reads the machine on the helper thread, and gives up waiting after [`PROBE`].
    pub(crate) fn environment(
        self: &Arc<Self>,
        helper: &Helper,
        lost: &mut dyn FnMut(Loss, &str),
    ) -> Environment {
        let found = Arc::new(Mutex::new(Found::default()));
        let (plan, progress) = (Arc::clone(self), Arc::clone(&found));
        let done = helper.run("otel-usage-probe", PROBE, move || {
            let all = plan.look(&mut |facts, machine_id| {
                if let Ok(mut found) = progress.lock() {
                    found.learn(facts, machine_id);
                }
            });
            if let Ok(mut found) = progress.lock() {
                *found = all;
            }
        });
        if done.is_none() {
            lost(Loss::Probe, "the probe");
        }
        let found = found.lock().map(|found| found.clone()).unwrap_or_default();
        resource::environment(self, &found, lost)
    }

    /// Reads the machine on the calling thread: for previews.
    pub(crate) fn environment_here(&self) -> Environment {
        let found = self.look(&mut |_, _| {});
        resource::environment(self, &found, &mut |_, _| {})
    }

    /// Looks at files and devices, and hands over what is known so far after each step.
    fn look(&self, progress: &mut dyn FnMut(&Facts, Option<&str>)) -> Found {
        // The engine's numbers win; then the driver need not be asked at all.
        let ask_driver = self.engine.accelerators.is_none();
        let machine_id = self.directory.as_deref().and_then(resource::machine_id);
        let facts = probe(&self.machine, ask_driver, &mut |step| {
            progress(step.facts, machine_id.as_deref());
        });
        Found { facts, machine_id }
    }

    /// The records to send when the engine makes `record`, in order: what belongs before it, the
    /// record itself, what belongs after it. Each is fit to leave.
    pub(crate) fn expand(&self, record: Record, progress: &mut Progress) -> Vec<Record> {
        let kind = record.kind(&self.contract).to_owned();
        let specs = &self.contract.contract().messages;
        let mut before = Vec::new();
        let mut after = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            if spec.record == kind {
                // Made by the engine itself: not made for it a second time.
                progress.first_time(index);
                continue;
            }
            let place = match &spec.trigger {
                Trigger::Start => &mut before,
                Trigger::After(first) if *first == kind => &mut after,
                _ => continue,
            };
            if progress.first_time(index) {
                place.extend(self.make(&spec.record, &[]));
            }
        }
        before.into_iter().chain([self.fit(record)]).chain(after).collect()
    }

    /// The records to send when the run finishes; the span of the run is the last.
    pub(crate) fn finish(&self, progress: &mut Progress) -> Vec<Record> {
        let specs = &self.contract.contract().messages;
        let mut records: Vec<Record> = specs
            .iter()
            .enumerate()
            .filter(|(index, spec)| spec.trigger == Trigger::Finish && progress.first_time(*index))
            .filter_map(|(_, spec)| self.make(&spec.record, &[]))
            .collect();
        let now = self.clock.unix_nanos();
        let run = self.contract.read(transport::RUN, &[], now, self.run.ids, &mut |_, _| {});
        records.extend(run.map(|mut run| {
            run.set_start(self.run.started_nanos);
            self.contract.make_fit(&mut run, &self.clock);
            run
        }));
        records
    }

    /// The kind and the interval of the heartbeat, if the contract has one.
    pub(crate) fn heartbeat(&self) -> Option<(&str, Duration)> {
        self.contract.contract().messages.iter().find_map(|spec| match spec.trigger {
            Trigger::Heartbeat { seconds } => {
                Some((spec.record.as_ref(), Duration::from_secs(u64::from(seconds))))
            }
            _ => None,
        })
    }

    /// A record made for the engine: `values` and what is known of the run, fit to leave.
    pub(crate) fn make(&self, kind: &str, values: &[KeyValue]) -> Option<Record> {
        let duration = self.clock.since(self.run.started);
        let (trace, span) = self.clock.span_ids();
        let mut attributes = values.to_vec();
        attributes.push(KeyValue::new(lmcache::START_TIME, self.run.started_local.clone()));
        attributes.push(KeyValue::new(lmcache::DURATION, seconds(duration)));
        // Undeclared ones are no loss here: most kinds have no use for the run's times.
        let record = self.contract.read(
            kind,
            &attributes,
            self.clock.unix_nanos(),
            TraceIds { trace, span },
            &mut |_, _| {},
        )?;
        Some(self.fit(record))
    }

    fn fit(&self, mut record: Record) -> Record {
        self.contract.make_fit(&mut record, &self.clock);
        record.link_to(self.run.ids);
        record
    }
}

/// Seconds with microseconds, as Python's clock gives them.
fn seconds(duration: Duration) -> f64 {
    Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)).as_secs_f64()
}
