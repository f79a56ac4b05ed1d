//! What is previewed. In: a contract by name or file. Out: a builder, and the reports of a run of a made-up
//! engine.
//!
//! Built-in contracts have a sample engine; an engine from a file is played with the examples of its own
//! tables.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use otel_usage::schema::{Literal, MessageSpec, Trigger, lmcache};
use otel_usage::{Attributes, Builder, Contract, Error, Report, RunPreview, Usage};

use crate::contract::{self, Name};
use crate::sample;

/// A contract and the part of it that is shown.
#[derive(Debug)]
pub(crate) struct Subject {
    contract: Contract,
    /// `None`: it came from a file.
    name: Option<Name>,
}

impl Subject {
    /// From `--contract` or `--contract-file`; the command line allows one of them.
    pub(crate) fn of(name: Option<Name>, file: Option<&Path>) -> anyhow::Result<Self> {
        match (name, file) {
            (_, Some(file)) => Ok(Self { contract: contract::from_file(file)?, name: None }),
            (Some(name), None) => Ok(Self { contract: name.contract().clone(), name: Some(name) }),
            (None, None) => {
                Err(anyhow!("name a contract: --contract vllm, or --contract-file FILE"))
            }
        }
    }

    pub(crate) fn contract(&self) -> &Contract {
        &self.contract
    }

    pub(crate) fn builder(&self) -> Builder {
        let builder = Usage::builder(&self.contract);
        match self.name {
            None => builder.with_version("1.0.0"),
            Some(Name::Vllm | Name::VllmHeartbeat) => builder.with_version(sample::VLLM_VERSION),
            Some(Name::Vllm040) => builder.with_version(sample::VLLM_DOCUMENTED_VERSION),
            Some(Name::LmcacheDoc | Name::LmcacheLegacy) => {
                builder.with_version(sample::LMCACHE_VERSION)
            }
            Some(Name::Lmcache | Name::LmcacheInterval) => builder
                .with_version(sample::LMCACHE_VERSION)
                .with_attribute(lmcache::DEPLOYMENT_MODE, "single_process"),
            Some(Name::LmcacheMp | Name::LmcacheMpInterval) => builder
                .with_version(sample::LMCACHE_VERSION)
                .with_attribute(lmcache::DEPLOYMENT_MODE, "mp_server"),
        }
    }

    /// The reports of a run, in order, or of the part that was named.
    pub(crate) fn reports(&self, builder: &Builder) -> anyhow::Result<Vec<Report>> {
        let Some(name) = self.name else {
            return self.reports_of_examples(builder);
        };
        let run = match name {
            Name::Vllm | Name::Vllm040 | Name::VllmHeartbeat => {
                builder.preview_run(sample::vllm_report())
            }
            Name::Lmcache | Name::LmcacheInterval | Name::LmcacheDoc => {
                builder.preview_run(sample::lmcache_engine())
            }
            Name::LmcacheLegacy => builder.preview_run(sample::lmcache_legacy_engine()),
            Name::LmcacheMp | Name::LmcacheMpInterval => {
                builder.preview_run(sample::lmcache_mp_server())
            }
        };
        let run = run.context("the preview cannot be made")?;
        Ok(match name {
            Name::VllmHeartbeat => run.heartbeat.into_iter().collect(),
            Name::LmcacheInterval | Name::LmcacheMpInterval => run.interval,
            _ => run.start.into_iter().chain(run.finish).collect(),
        })
    }

    /// A run for each record that the engine makes itself, with the examples as values.
    fn reports_of_examples(&self, builder: &Builder) -> anyhow::Result<Vec<Report>> {
        let made = self.contract.messages.iter().filter(|spec| spec.trigger == Trigger::Record);
        let runs: Result<Vec<RunPreview>, Error> =
            made.map(|spec| builder.preview_run(example(spec))).collect();
        let mut reports = Vec::new();
        let mut end = Vec::new();
        for (index, run) in runs.context("the preview cannot be made")?.into_iter().enumerate() {
            // What belongs to every run is shown once.
            let first = index == 0;
            let own = |report: &Report| {
                let trigger = self.trigger(report.kind());
                first || trigger == Some(&Trigger::Record)
            };
            reports.extend(run.start.into_iter().filter(own));
            if first {
                reports.extend(run.heartbeat);
                end = run.finish;
            }
            reports.extend(run.interval);
        }
        reports.extend(end);
        Ok(reports)
    }

    fn trigger(&self, kind: &str) -> Option<&Trigger> {
        let spec = self.contract.messages.iter().find(|spec| spec.record == kind)?;
        Some(&spec.trigger)
    }

    /// What follows by itself and is not shown.
    pub(crate) fn outlook(&self) -> String {
        let every = self.contract.messages.iter().find_map(|spec| match spec.trigger {
            Trigger::Heartbeat { seconds } | Trigger::Interval { seconds, .. } => Some(seconds),
            _ => None,
        });
        let Some(seconds) = every else { return String::new() };
        let (what, name) = match self.name {
            Some(Name::Vllm | Name::Vllm040) => ("a heartbeat", "vllm-heartbeat"),
            Some(Name::Lmcache) => ("what its counters hold", "lmcache-interval"),
            Some(Name::LmcacheMp) => ("what its counters hold", "lmcache-mp-interval"),
            _ => return String::new(),
        };
        format!("Every {seconds} s after that, {what}: --contract {name}\n")
    }
}

/// A record made of the examples in a message's table.
fn example(spec: &MessageSpec) -> Attributes {
    spec.fields.iter().fold(Attributes::of(spec.record.as_ref()), |record, field| {
        let Some(attribute) = field.source.record().map(str::to_owned) else { return record };
        match &field.example {
            Literal::Bool(value) => record.with(attribute, *value),
            Literal::Float(value) => record.with(attribute, *value),
            Literal::Int(value) => record.with(attribute, *value),
            Literal::Ints(values) => record.with(attribute, values.to_vec()),
            Literal::Str(text) => record.with(attribute, text.to_string()),
            Literal::Strs(words) => {
                record.with(attribute, words.iter().map(ToString::to_string).collect::<Vec<_>>())
            }
            _ => record,
        }
    })
}
