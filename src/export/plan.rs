//! What one `Usage` knows before anything runs: the pure part of its pipeline.
//!
//! In: a contract, the environment snapshot, the engine's own facts. Out: the [`Environment`], and
//! for each record the reports that belong to it. A preview and the worker ask the same questions
//! here, so they get the same bytes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;

use super::intervals::{Due, Intervals};
use crate::clock::Clock;
use crate::helper::{Helper, Task};
use crate::loss::Loss;
use crate::meter::Meters;
use crate::probe::{Facts, Hangs, Machine, accelerators, probe};
use crate::resource::{self, EngineFacts, Found};
use crate::schema::lmcache::{self, usage};
use crate::schema::{CompiledContract, Environment, Record, TraceIds, Trigger, transport};

/// Time for everything that is read from files. It takes well under a millisecond; more than this
/// means a mount that no longer answers, and waiting would not help.
const FILES: Duration = Duration::from_secs(1);

/// Time for the accelerators. A driver that is awake answers in milliseconds; one that has to wake
/// its devices first takes a second or two. With [`FILES`] it is the longest that a first report
/// waits for its machine: five seconds, for what is not known by then is missing from it.
const ACCELERATORS: Duration = Duration::from_secs(4);

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) contract: Arc<CompiledContract>,
    pub(crate) clock: Clock,
    pub(crate) machine: Machine,
    pub(crate) engine: EngineFacts,
    /// The engine's configuration directory, in which LMCache keeps its machine id.
    pub(crate) directory: Option<PathBuf>,
    /// What the operator says about the interval of messages at intervals.
    pub(crate) interval: Option<String>,
    pub(crate) run: Run,
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
    /// Reads the machine on the helper thread: first its files, then its accelerators. What takes
    /// longer than its time is left behind and counted, and nothing more is begun beside it.
    pub(crate) fn environment(
        self: &Arc<Self>,
        helper: &Helper,
        lost: &mut dyn FnMut(Loss, &str),
    ) -> Environment {
        let found = Arc::new(Mutex::new(Found::default()));
        let (plan, progress) = (Arc::clone(self), Arc::clone(&found));
        let done = helper.run(Task::Probe, FILES, move || {
            let mut all = plan.look(&mut |facts| {
                if let Ok(mut found) = progress.lock() {
                    found.facts.learn(facts);
                }
            });
            if all.machine_id.is_none() {
                let directory = plan.machine_id_directory();
                all.machine_id =
                    directory.and_then(|home| resource::make_machine_id(home, &plan.clock));
            }
            if let Ok(mut found) = progress.lock() {
                *found = all;
            }
        });
        if done.is_none() {
            lost(Loss::Probe, "the machine's files");
        }
        let mut found = found.lock().map(|found| found.clone()).unwrap_or_default();
        if self.asks_drivers() {
            let (plan, facts) = (Arc::clone(self), found.facts.clone());
            let devices = helper
                .run(Task::Probe, ACCELERATORS, move || accelerators(&plan.machine, &facts))
                .unwrap_or(Err(Hangs));
            found.set_devices(devices);
            if found.accelerators_hang {
                lost(Loss::Probe, "the accelerators");
            }
        }
        resource::environment(&self.contract, &self.engine, &found, lost)
    }

    /// Reads the machine on the calling thread: for previews.
    pub(crate) fn environment_here(&self) -> Environment {
        let mut found = self.look(&mut |_| {});
        if self.asks_drivers() {
            let devices = accelerators(&self.machine, &found.facts);
            found.set_devices(devices);
        }
        resource::environment(&self.contract, &self.engine, &found, &mut |_, _| {})
    }

    /// Where LMCache keeps its machine id. `None`: it is none of this contract's business, or left out.
    fn machine_id_directory(&self) -> Option<&Path> {
        let wanted = self.contract.has_resource(lmcache::MACHINE_ID);
        self.directory.as_deref().filter(|_| wanted)
    }

    /// The engine's numbers win; then a driver need not be asked at all.
    const fn asks_drivers(&self) -> bool {
        self.engine.accelerators.is_none()
    }

    /// Looks at files, and hands over what is known so far after each step.
    fn look(&self, progress: &mut dyn FnMut(&Facts)) -> Found {
        let facts = probe(&self.machine, false, &mut |step| progress(step.facts));
        // Last, because a home directory is what most likely lies on another machine.
        let machine_id = self.machine_id_directory().and_then(resource::machine_id);
        Found { facts, machine_id, ..Found::default() }
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

    /// The records of a message at intervals: one for each of `series`, with its values.
    pub(super) fn interval(&self, due: Due, series: Vec<Vec<KeyValue>>) -> Vec<Record> {
        let Some(spec) = self.contract.contract().messages.get(due.message) else {
            return Vec::new();
        };
        let made = series.into_iter().filter_map(|mut values| {
            values.push(KeyValue::new(usage::SEQUENCE_NUMBER, due.sequence));
            let length = self.clock.between(due.since, due.now);
            values.push(KeyValue::new(usage::INTERVAL, seconds(length)));
            // One time for all messages of an interval: a receiver joins them by it.
            self.make_at(&spec.record, &values, due.now)
        });
        made.collect()
    }

    /// The messages at intervals of a run whose first record is of `kind`, as the first of them would be
    /// if nothing had been counted.
    pub(crate) fn preview_interval(&self, kind: &str) -> Vec<Record> {
        let contract = self.contract.contract();
        let (mut intervals, now) = (Intervals::new(None), self.clock.monotonic());
        intervals.begin(contract, kind, now);
        let meters = Meters::new(contract);
        let next = intervals.next();
        let due = next.map(|next| intervals.due(next)).unwrap_or_default();
        due.into_iter().flat_map(|due| self.interval(due, meters.take(due.message))).collect()
    }

    /// A record made for the engine: `values` and what is known of the run, fit to leave.
    pub(crate) fn make(&self, kind: &str, values: &[KeyValue]) -> Option<Record> {
        self.make_at(kind, values, self.clock.monotonic())
    }

    fn make_at(&self, kind: &str, values: &[KeyValue], now: Instant) -> Option<Record> {
        let duration = self.clock.between(self.run.started, now);
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
