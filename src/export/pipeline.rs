//! The work itself: records in, reports to every sink out. No thread, no waiting.
//!
//! Consent is asked before every step that writes or sends. Local sinks come first, each network
//! sink has its own queue and its own time budget, and a panic in a sink stays in that sink.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry_sdk::trace::SpanData;

use super::intervals::{Due, Intervals};
use super::plan::Progress;
use super::{Outlet, Plan};
use crate::config::{Consent, Exporter, Settings, Switches};
use crate::helper::Helper;
use crate::loss::Loss;
use crate::meter::Meters;
use crate::notice::Voice;
use crate::schema::{Environment, Record};
use crate::sink::Report;
use crate::stats::Counters;

/// Time that one network sink may take before the next has its turn.
const BUDGET: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Pipeline {
    plan: Arc<Plan>,
    gate: Gate,
    helper: Helper,
    environment: Option<Arc<Environment>>,
    progress: Progress,
    intervals: Intervals,
    meters: Arc<Meters>,
    outlets: Vec<Outlet>,
    /// Where the network sinks send, for the notice.
    destinations: Vec<String>,
    counters: Arc<Counters>,
    voice: Voice,
    direct: bool,
}

/// Consent as it is now.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    switches: Switches,
    withdrawn: Arc<AtomicBool>,
}

impl Gate {
    pub(crate) fn new(switches: Switches, withdrawn: Arc<AtomicBool>) -> Self {
        Self { switches, withdrawn }
    }

    pub(crate) fn consent(&self) -> Consent {
        if self.withdrawn.load(Ordering::Relaxed) {
            Consent::Off
        } else {
            self.switches.decide().consent
        }
    }
}

impl Pipeline {
    pub(crate) fn new(
        plan: Arc<Plan>,
        gate: Gate,
        helper: Helper,
        outlets: Vec<Outlet>,
        settings: &Settings,
        voice: Voice,
    ) -> Self {
        let counters = Arc::new(Counters::default());
        let _ = counters.sinks.set(outlets.iter().map(Outlet::counters).collect());
        let direct = settings.exporters.contains(&Exporter::Server);
        let intervals = Intervals::new(plan.interval.clone());
        let meters = Arc::new(Meters::new(plan.contract.contract()));
        let destinations = outlets.iter().filter_map(Outlet::destination).collect();
        Self {
            plan,
            gate,
            helper,
            environment: None,
            progress: Progress::default(),
            intervals,
            meters,
            outlets,
            destinations,
            counters,
            voice,
            direct,
        }
    }

    pub(crate) fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Whether this process posts to the usage server itself.
    pub(crate) const fn is_direct(&self) -> bool {
        self.direct
    }

    /// What the engine counts.
    pub(crate) fn meters(&self) -> Arc<Meters> {
        Arc::clone(&self.meters)
    }

    pub(crate) const fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Takes facts of the engine that a stock provider's Resource brought; the builder's win.
    pub(super) fn adopt(&mut self, mut attributes: Vec<(String, opentelemetry::Value)>) {
        if let Some(plan) = Arc::get_mut(&mut self.plan) {
            attributes
                .retain(|(name, _)| name != "service.version" || plan.engine.version.is_none());
            plan.engine.attributes.splice(0..0, attributes);
        }
    }

    /// Takes a span from the engine: the record it is, and each of its events that is one.
    pub(crate) fn accept(&mut self, span: &SpanData) {
        let contract = Arc::clone(&self.plan.contract);
        let counters = Arc::clone(&self.counters);
        let lost = |loss: Loss, name: &str, kind: &str| {
            let place = if contract.has_record(kind) { kind } else { "a span" };
            counters.note(loss, name, place);
        };
        let mut records = Vec::new();
        let events: Vec<&opentelemetry::trace::Event> =
            span.events.iter().filter(|event| contract.has_record(&event.name)).collect();
        // A span of the engine's own that only carries our events is not itself a report.
        if events.is_empty() || contract.has_record(&span.name) {
            let lost = &mut |loss: Loss, name: &str| lost(loss, name, &span.name);
            records.extend(contract.read_span(span, lost));
        }
        for event in events {
            let (trace, id) = self.plan.clock.span_ids();
            records.extend(contract.read(
                &event.name,
                &event.attributes,
                crate::clock::unix_nanos(event.timestamp),
                crate::schema::TraceIds { trace, span: id },
                &mut |loss, name| lost(loss, name, &event.name),
            ));
        }
        for record in records {
            let now = self.plan.clock.monotonic();
            self.intervals.begin(contract.contract(), record.kind(&contract), now);
            let expanded = self.plan.expand(record, &mut self.progress);
            self.report(expanded);
        }
    }

    /// Makes the heartbeat of the contract.
    pub(crate) fn heartbeat(&mut self, values: &[KeyValue]) {
        let kind = self.plan.heartbeat().map(|(kind, _)| kind.to_owned());
        let record = kind.and_then(|kind| self.plan.make(&kind, values));
        self.report(record.into_iter().collect());
    }

    /// When the next message at intervals is due.
    pub(crate) fn next_interval(&self) -> Option<Instant> {
        self.intervals.next()
    }

    /// Makes the messages at intervals that are due.
    pub(crate) fn interval(&mut self) {
        let due = self.intervals.due(self.plan.clock.monotonic());
        self.report_intervals(due);
    }

    fn report_intervals(&mut self, due: Vec<Due>) {
        for due in due {
            // Taken whatever becomes of it: what was counted while collection was off is not sent later.
            let records = self.plan.interval(due, self.meters.take(due.message));
            self.report(records);
        }
    }

    /// Makes the reports that belong to the end of the run.
    pub(crate) fn finish(&mut self) {
        let due = self.intervals.finish(self.plan.clock.monotonic());
        self.report_intervals(due);
        // A run that never reported has nothing to finish.
        if self.environment.is_some() {
            let records = self.plan.finish(&mut self.progress);
            self.report(records);
        }
    }

    fn report(&mut self, records: Vec<Record>) {
        if self.outlets.is_empty() {
            // Nobody would hear of it, so the machine is not even looked at.
            return;
        }
        for record in records {
            let consent = self.gate.consent();
            if consent == Consent::Off {
                // Not even read: the machine is none of our business any more.
                self.counters.lost.add(Loss::Consent, 1);
                continue;
            }
            if consent == Consent::Granted && !self.destinations.is_empty() {
                // Before any sink has the report, so before the first byte.
                let contract = self.plan.contract.contract();
                self.voice.notice(&contract.id, &contract.system, &self.destinations);
            }
            self.counters.recorded.fetch_add(1, Ordering::Relaxed);
            let environment = self.environment();
            let contract = Arc::clone(&self.plan.contract);
            let report = Report::new(contract, environment, record, self.direct);
            for outlet in &mut self.outlets {
                outlet.take(&report, consent);
            }
        }
    }

    /// The environment: read once, before the first report.
    fn environment(&mut self) -> Arc<Environment> {
        if let Some(environment) = &self.environment {
            return Arc::clone(environment);
        }
        let counters = Arc::clone(&self.counters);
        let lost = &mut |loss: Loss, name: &str| counters.note(loss, name, "the resource");
        let environment = self.plan.environment(&self.helper, lost);
        let environment = Arc::new(environment);
        self.environment = Some(Arc::clone(&environment));
        environment
    }

    /// Sends what is due; `hurry`: also what would still have to wait. Returns when to come back.
    pub(crate) fn pump(&mut self, hurry: bool) -> Option<Instant> {
        let Self { outlets, plan, gate, .. } = self;
        let mut permit = || gate.consent() == Consent::Granted;
        let mut next: Option<Instant> = None;
        for outlet in outlets {
            if let Some(until) = plan.clock.monotonic().checked_add(BUDGET)
                && let Some(due) = outlet.pump(&plan.clock, until, hurry, &mut permit)
            {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        next
    }

    /// Messages that wait in memory.
    pub(crate) fn pending(&self) -> usize {
        self.outlets.iter().map(Outlet::pending).sum()
    }
}
