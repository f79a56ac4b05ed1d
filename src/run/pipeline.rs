//! The work itself: it turns spans into records and gives them to every exporter.
//!
//! It has no thread and never waits. Consent is asked before every step that writes or sends. Local
//! exporters come first, and each exporter has its own time budget.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use opentelemetry::trace::Event;
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;
use otel_usage_schema::{Consent, Loss, ResourceValues};

use super::schedule::{Due, Schedule};
use super::{Made, RunContext};
use crate::clock::unix_nanos;
use crate::consent::ConsentGate;
use crate::detectors::detect;
use crate::export::{
    self, ActiveExporter, BUDGET, ExportRecord, Exporter, ExporterName, Need, Sent, SpanIds,
    SpanRecord, Wake,
};
use crate::helper::Helper;
use crate::instruments::Instruments;
use crate::notifier::Notifier;
use crate::settings::Settings;
use crate::stats::Counters;

/// The parts of a pipeline. The worker makes the pipeline, so that initialisation stays cheap.
#[derive(Debug)]
pub(crate) struct PipelineParts {
    pub(crate) context: Arc<RunContext>,
    pub(crate) gate: ConsentGate,
    pub(crate) settings: Settings,
    pub(crate) consent: Consent,
    pub(crate) own_exporters: Vec<Box<dyn Exporter>>,
    pub(crate) instruments: Arc<Instruments>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) notifier: Notifier,
}

impl PipelineParts {
    /// Returns whether this process posts to the usage server itself.
    pub(crate) fn is_direct(&self) -> bool {
        self.settings.exporters.contains(&ExporterName::Server)
    }
}

#[derive(Debug)]
pub(crate) struct Pipeline {
    context: Arc<RunContext>,
    gate: ConsentGate,
    helper: Helper,
    resource: Option<Arc<ResourceValues>>,
    made: Made,
    schedule: Schedule,
    instruments: Arc<Instruments>,
    exporters: Vec<ActiveExporter>,
    /// The destinations of the network exporters, for the notice.
    destinations: Vec<String>,
    counters: Arc<Counters>,
    notifier: Notifier,
    /// Whether this process posts to the usage server itself.
    direct: bool,
}

impl Pipeline {
    pub(crate) fn new(parts: PipelineParts) -> Self {
        let PipelineParts { context, gate, mut settings, consent, own_exporters, .. } = parts;
        let (counters, notifier) = (parts.counters, parts.notifier);
        let helper = Helper::default();
        let told = settings.warnings.len();
        let contract = context.contract.contract();
        settings.receipts.complete(&mut settings.warnings);
        #[cfg(feature = "http")]
        settings.check_spool(consent, crate::spool::place::check);
        let exporters = export::active(&mut settings, contract, consent, own_exporters, &notifier);
        for warning in settings.warnings.iter().skip(told) {
            notifier.warn(warning);
        }
        let accounts = exporters.iter().map(ActiveExporter::counters).collect();
        // The counters are new, so nothing was set before.
        let _ = counters.exporters.set(accounts);
        Self {
            context,
            gate,
            helper,
            resource: None,
            made: Made::default(),
            schedule: Schedule::new(settings.interval),
            instruments: parts.instruments,
            destinations: exporters.iter().filter_map(ActiveExporter::destination).collect(),
            exporters,
            counters,
            notifier,
            direct: settings.exporters.contains(&ExporterName::Server),
        }
    }

    pub(crate) fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    pub(crate) const fn context(&self) -> &Arc<RunContext> {
        &self.context
    }

    /// Takes facts of the engine from a stock provider's Resource. The builder's facts win.
    pub(crate) fn adopt(&mut self, mut attributes: Vec<(String, Value)>) {
        if let Some(context) = Arc::get_mut(&mut self.context) {
            let engine = &mut context.engine;
            attributes.retain(|(name, _)| name != "service.version" || engine.version.is_none());
            engine.attributes.splice(0..0, attributes);
        }
    }

    /// Takes a span: the record that it is, and each of its events that is a record.
    pub(crate) fn accept(&mut self, span: &SpanData) {
        let contract = Arc::clone(&self.context.contract);
        let counters = Arc::clone(&self.counters);
        let clock = self.context.clock.clone();
        let read = |kind: &str, attributes: &[KeyValue], nanos: i64| {
            let place = if contract.has_record(kind) { kind } else { "a span" };
            contract.read_record(kind, attributes, nanos, &mut |loss, name| {
                counters.note(loss, name, place);
            })
        };
        let mut records = Vec::new();
        let events: Vec<&Event> =
            span.events.iter().filter(|event| contract.has_record(&event.name)).collect();
        // A foreign span that carries our events is not itself a record.
        if events.is_empty() || contract.has_record(&span.name) {
            let record = read(&span.name, &span.attributes, unix_nanos(span.end_time));
            let context = &span.span_context;
            let ids = SpanIds { trace: context.trace_id(), span: context.span_id() };
            let start_nanos = unix_nanos(span.start_time);
            records.extend(record.map(|record| SpanRecord { record, ids, start_nanos, run: None }));
        }
        for event in events {
            let start_nanos = unix_nanos(event.timestamp);
            let record = read(&event.name, &event.attributes, start_nanos);
            let ids = SpanIds::random(&clock);
            records.extend(record.map(|record| SpanRecord { record, ids, start_nanos, run: None }));
        }
        for record in records {
            self.schedule.begin(
                contract.contract(),
                record.record.kind(&contract),
                clock.monotonic(),
            );
            let expanded = self.context.expand(record, &mut self.made);
            self.export(expanded);
        }
    }

    /// Returns the time at which the next heartbeat or message at intervals is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.schedule.next()
    }

    /// Makes the heartbeats and the messages at intervals that are due. `heartbeat` holds the values of
    /// the next heartbeat.
    pub(crate) fn export_due(&mut self, heartbeat: &[KeyValue]) {
        let due = self.schedule.due(self.context.clock.monotonic());
        self.export_intervals(due, heartbeat);
    }

    /// Makes the messages of the end of the run.
    pub(crate) fn finish(&mut self) {
        let due = self.schedule.finish(self.context.clock.monotonic());
        self.export_intervals(due, &[]);
        // A run that never recorded anything has nothing to finish.
        if self.resource.is_some() {
            let records = self.context.finish(&mut self.made);
            self.export(records);
        }
    }

    fn export_intervals(&mut self, due: Vec<Due>, heartbeat: &[KeyValue]) {
        let counters = Arc::clone(&self.counters);
        for due in due {
            // The instruments are emptied even if collection is off now, because a later message must
            // not send what was counted meanwhile.
            let values = self.instruments.take(due.message);
            let values = values.unwrap_or_else(|| vec![heartbeat.to_vec()]);
            let records = self.context.due(due, values, &mut |loss, name| {
                counters.note(loss, name, "a message at intervals");
            });
            self.export(records);
        }
    }

    fn export(&mut self, records: Vec<SpanRecord>) {
        if self.exporters.is_empty() {
            return;
        }
        for record in records {
            let consent = self.gate.consent();
            if consent == Consent::Off {
                self.counters.lost.add(Loss::Consent, 1);
                continue;
            }
            if consent == Consent::Granted && !self.destinations.is_empty() {
                // The notice comes before any exporter has the record, and so before the first byte.
                self.notifier.notice(self.context.contract.contract(), &self.destinations);
            }
            self.counters.recorded.fetch_add(1, Ordering::Relaxed);
            let contract = Arc::clone(&self.context.contract);
            let record = ExportRecord::new(contract, self.resource(), record, self.direct)
                .with_losses(self.counters.losses());
            for exporter in &mut self.exporters {
                exporter.export(&record, consent);
            }
        }
    }

    /// Returns the Resource, which is read before the first record and then kept.
    fn resource(&mut self) -> Arc<ResourceValues> {
        if let Some(resource) = &self.resource {
            return Arc::clone(resource);
        }
        let counters = Arc::clone(&self.counters);
        let lost = &mut |loss: Loss, name: &str| counters.note(loss, name, "the resource");
        let resource = Arc::new(detect(
            &self.context.contract,
            &self.context.machine,
            &self.context.engine,
            &self.context.clock,
            &self.helper,
            lost,
        ));
        self.resource = Some(Arc::clone(&resource));
        resource
    }

    /// Begins a new instance with an identity of its own, because the process was restored from a checkpoint,
    /// perhaps not for the only time.
    ///
    /// Messages in memory and counts belong to the instance before, and each copy would send them.
    pub(crate) fn begin_again(&mut self) {
        self.context = Arc::new(self.context.again());
        self.resource = None;
        self.made = Made::default();
        for message in self.schedule.begin_again(self.context.clock.monotonic()) {
            drop(self.instruments.take(message));
        }
        for exporter in &mut self.exporters {
            exporter.begin_again();
        }
    }

    /// Sends what is due. `wake` is called when an answer has come, after which there is more to do.
    pub(crate) fn send_queued(&mut self, need: Need, wake: &Wake) -> Sent {
        let clock = &self.context.clock;
        let end = need.within.and_then(|within| clock.monotonic().checked_add(within));
        let Self { exporters, context, gate, .. } = self;
        let mut consent = || gate.consent();
        exporters.iter_mut().fold(Sent::default(), |sent, exporter| {
            let left = end.map(|end| end.saturating_duration_since(context.clock.monotonic()));
            let need = Need { within: left, ..need };
            sent.and(exporter.send_queued(&context.clock, need, wake, &mut consent))
        })
    }

    /// Sends what is due, and waits for the answers on this thread, for as long as `need` says or an exporter
    /// may take.
    pub(crate) fn send_and_wait(&mut self, need: Need) {
        let answered = Arc::new((Mutex::new(false), Condvar::new()));
        let wake = Wake::new({
            let answered = Arc::clone(&answered);
            move || {
                *answered.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
                answered.1.notify_one();
            }
        });
        let clock = self.context.clock.clone();
        let start = clock.monotonic();
        let limit = need.within.unwrap_or(BUDGET);
        let left = || limit.saturating_sub(clock.monotonic().saturating_duration_since(start));
        let mut next = need;
        loop {
            let sent = self.send_queued(next, &wake);
            next = Need { urgent: false, within: need.within.map(|_| left()), ..need };
            if !sent.in_flight {
                return;
            }
            let news = answered.0.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = answered.1.wait_timeout_while(news, left(), |news| !*news);
            let (mut news, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if !std::mem::take(&mut *news) {
                return;
            }
        }
    }

    /// Returns how many messages wait in memory, and how many on disk.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let both = self.exporters.iter().map(ActiveExporter::waiting);
        both.fold((0, 0), |(queued, spooled), (more, also)| {
            (queued.saturating_add(more), spooled.saturating_add(also))
        })
    }

    /// Counts the messages that wait as lost, because no exporter will send them.
    pub(crate) fn abandon(&mut self) {
        for exporter in &mut self.exporters {
            exporter.discard(Loss::Abandoned);
        }
    }
}
