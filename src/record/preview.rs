//! Previews: the reports that a record would cause, made without a thread, a file or a socket.
//!
//! In: the same [`Plan`] that the worker has. Out: [`Report`]s, and so the same bytes.

use std::sync::Arc;

use crate::export::{Plan, Progress};
use crate::schema::{Record, UsageRecord};
use crate::sink::Report;

/// The reports of a whole run, as [`Builder::preview_run`](crate::Builder::preview_run) shows them.
///
/// All share one instance id and one look at the machine, as those of a real run do.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RunPreview {
    /// What the start sends, in order.
    pub start: Vec<Report>,
    /// What each heartbeat sends. `None`: the contract has none.
    pub heartbeat: Option<Report>,
    /// What each interval sends, in order, from instruments that hold nothing yet. A message for each series
    /// is left out: there is none yet.
    pub interval: Vec<Report>,
    /// What the end sends, in order. The last is the span of the run, which only OTLP carries.
    pub finish: Vec<Report>,
}

/// The reports of a run whose first record is `record`; none if the contract has no such kind.
///
/// `direct`: the process would post to the usage server itself.
pub(super) fn run(plan: &Arc<Plan>, record: impl UsageRecord, direct: bool) -> RunPreview {
    let kind = record.kind().to_owned();
    let Some(record) = plan.make(&kind, &record.attributes()) else {
        return RunPreview::default();
    };
    let environment = Arc::new(plan.environment_here());
    let report = |record: Record| {
        Report::new(Arc::clone(&plan.contract), Arc::clone(&environment), record, direct)
    };
    let mut progress = Progress::default();
    let start = plan.expand(record, &mut progress).into_iter().map(report).collect();
    let beat = plan.heartbeat().and_then(|(kind, _)| plan.make(kind, &[]));
    let interval = plan.preview_interval(&kind).into_iter().map(report).collect();
    let finish = plan.finish(&mut progress).into_iter().map(report).collect();
    RunPreview { start, heartbeat: beat.map(report), interval, finish }
}

#[cfg(test)]
mod tests {
    use super::RunPreview;
    use crate::schema::{lmcache, vllm};
    use crate::{Attributes, Env, Report, Usage};

    fn kinds(reports: &[Report]) -> Vec<&str> {
        reports.iter().map(Report::kind).collect()
    }

    #[test]
    fn a_run_is_shown_from_start_to_end() {
        let off = Env::given([("DO_NOT_TRACK", "1"), ("HOME", "/nowhere")]);
        let builder = Usage::builder(&lmcache::DOC).with_environment(off.clone());
        let run = builder.preview_run(lmcache::Engine::default()).unwrap();
        assert_eq!(kinds(&run.start), [lmcache::ENVIRONMENT, lmcache::ENGINE]);
        assert_eq!(kinds(&run.finish), [lmcache::METADATA, "run"]);
        assert!(run.heartbeat.is_none());

        let builder = Usage::builder(&vllm::CURRENT).with_environment(off);
        let run = builder.preview_run(vllm::Report::default()).unwrap();
        assert_eq!(kinds(&run.start), [vllm::REPORT]);
        assert_eq!(
            run.heartbeat.map(|beat| beat.kind().to_owned()).as_deref(),
            Some(vllm::HEARTBEAT)
        );
        assert_eq!(kinds(&run.finish), ["run"]);
    }

    #[test]
    fn a_kind_the_contract_does_not_have_causes_nothing() {
        let builder = Usage::builder(&vllm::CURRENT).with_environment(Env::default());
        let RunPreview { start, heartbeat, interval, finish } =
            builder.preview_run(Attributes::of("no.such.kind")).unwrap();
        assert!(start.is_empty() && heartbeat.is_none());
        assert!(interval.is_empty() && finish.is_empty());
    }
}
