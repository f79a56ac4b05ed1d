//! Shows what an engine would do here, without a thread, a file or a socket of its own.
//!
//! The `otel-usage` command and tests ask these questions; an engine does not need them.

use std::path::Path;
use std::sync::Arc;

use otel_usage_schema::{Decision, Trigger, UsageRecord};

use crate::consent::ConsentSwitches;
use crate::detectors::detect_here;
use crate::export::{ExportRecord, ExporterName, SpanRecord};
use crate::run::{Made, RunContext};
use crate::settings::Settings;

/// The behaviour of an engine with these settings here, as [`Builder::inspect`](crate::Builder::inspect)
/// finds it.
#[derive(Debug)]
pub struct Inspection {
    pub(crate) context: Arc<RunContext>,
    pub(crate) decision: Decision,
    pub(crate) settings: Settings,
    pub(crate) switches: ConsentSwitches,
}

/// The records of a whole run.
///
/// All share one instance id and one look at the machine, as those of a real run do.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RunPreview {
    /// The records of the start, in order.
    pub start: Vec<ExportRecord>,
    /// The record of a heartbeat. `None` if the contract has none.
    pub heartbeat: Option<ExportRecord>,
    /// The records of an interval, in order, from instruments that hold nothing. Messages of series are
    /// left out, because there are no series.
    pub interval: Vec<ExportRecord>,
    /// The records of the end, in order. The last is the span of the run, which only OTLP carries.
    pub finish: Vec<ExportRecord>,
}

impl Inspection {
    /// Returns whether collection is on, and the switch that decided it.
    #[must_use]
    pub const fn decision(&self) -> &Decision {
        &self.decision
    }

    /// Reads the files of the switches again, and returns the decision as it is now.
    #[must_use]
    pub fn decide_again(&self) -> Decision {
        self.switches.decide()
    }

    /// Returns the mode file that the `otel-usage` command writes, or `None` if no home directory is
    /// known.
    #[must_use]
    pub fn mode_file(&self) -> Option<&Path> {
        self.switches.mode_file()
    }

    /// Returns the file with the time of the last `otel-usage off`, or `None` if no home directory is known.
    ///
    /// Messages that were made before it are never sent. Its text is a number of seconds since the Unix epoch.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn cutoff_file(&self) -> Option<&Path> {
        self.settings.cutoff.path()
    }

    /// Returns what reads that file. It may be called on another thread, because a read may take its time.
    ///
    /// The time is in seconds since the Unix epoch, and `None` if there was no `off`. With an error, nothing is sent
    /// that waits on disk.
    #[cfg(feature = "http")]
    pub fn last_off(&self) -> impl Fn() -> std::io::Result<Option<i64>> + Send + use<> {
        let cutoff = self.settings.cutoff.clone();
        move || cutoff.seconds()
    }

    /// Returns the places to which messages would leave this machine, without credentials, consent aside.
    #[must_use]
    pub fn destinations(&self) -> Vec<String> {
        self.settings.destinations()
    }

    /// Returns the effective settings, consent aside, with every mistake as a warning.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the records that `record` would cause on this machine now.
    ///
    /// It reads the machine on the calling thread, also if collection is off.
    #[must_use]
    pub fn preview(&self, record: impl UsageRecord) -> Vec<ExportRecord> {
        self.preview_run(record).start
    }

    /// Returns the records of a whole run that begins with `record`. Otherwise it is like
    /// [`Inspection::preview`].
    #[must_use]
    pub fn preview_run(&self, record: impl UsageRecord) -> RunPreview {
        run(&self.context, record, self.settings.exporters.contains(&ExporterName::Server))
    }
}

/// Returns the records of a run that begins with `record`; none if the contract has no such kind.
pub(crate) fn run(context: &RunContext, record: impl UsageRecord, direct: bool) -> RunPreview {
    let contract = &context.contract;
    let kind = record.kind().to_owned();
    let Some(record) = context.make(&kind, record.attributes()) else {
        return RunPreview::default();
    };
    let resource = Arc::new(detect_here(contract, &context.machine, &context.engine));
    let export = |record: SpanRecord| {
        ExportRecord::new(Arc::clone(contract), Arc::clone(&resource), record, direct)
    };
    let mut made = Made::default();
    let start = context.expand(record, &mut made).into_iter().map(export).collect();
    let is_heartbeat = |record: &ExportRecord| {
        record
            .message()
            .is_some_and(|message| matches!(message.spec().trigger, Trigger::Heartbeat { .. }))
    };
    let due = context.preview_due(&kind).into_iter().map(export);
    let (heartbeat, interval): (Vec<_>, Vec<_>) = due.partition(is_heartbeat);
    let finish = context.finish(&mut made).into_iter().map(export).collect();
    RunPreview { start, heartbeat: heartbeat.into_iter().next(), interval, finish }
}
