//! Chooses what `otel-usage preview` shows: a contract, and the messages of a run with it.
//!
//! Built-in contracts have a sample engine. The engine of a contract file sends the examples in its tables.

use std::path::Path;

use anyhow::anyhow;
use otel_usage::export::ExportRecord;
use otel_usage::schema::{Literal, MessageSpec, Trigger, lmcache};
use otel_usage::settings::Inspection;
use otel_usage::{Attributes, Builder, Contract, Usage};

use crate::contract::{self, Name};
use crate::sample;

/// A contract and the part of it that is shown.
#[derive(Debug)]
pub(crate) struct Subject {
    contract: Contract,
    /// `None` for a contract from a file.
    name: Option<Name>,
}

impl Subject {
    /// Returns the subject that `--contract` or `--contract-file` names. The command line allows one of them.
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

    /// Returns what a run would send, in order, or only the named part.
    pub(crate) fn records(&self, inspection: &Inspection) -> Vec<ExportRecord> {
        let Some(name) = self.name else {
            return self.records_of_examples(inspection);
        };
        let run = match name {
            Name::Vllm | Name::Vllm040 | Name::VllmHeartbeat => {
                inspection.preview_run(sample::vllm_report())
            }
            Name::Lmcache | Name::LmcacheInterval | Name::LmcacheDoc => {
                inspection.preview_run(sample::lmcache_engine())
            }
            Name::LmcacheLegacy => inspection.preview_run(sample::lmcache_legacy_engine()),
            Name::LmcacheMp | Name::LmcacheMpInterval => {
                inspection.preview_run(sample::lmcache_mp_server())
            }
        };
        match name {
            Name::VllmHeartbeat => run.heartbeat.into_iter().collect(),
            Name::LmcacheInterval | Name::LmcacheMpInterval => run.interval,
            _ => run.start.into_iter().chain(run.finish).collect(),
        }
    }

    /// Returns one run for each record of the contract, with the examples of its fields as values.
    fn records_of_examples(&self, inspection: &Inspection) -> Vec<ExportRecord> {
        let made = self.contract.messages.iter().filter(|spec| spec.trigger == Trigger::Record);
        let runs = made.map(|spec| inspection.preview_run(example(spec)));
        let mut records = Vec::new();
        let mut end = Vec::new();
        for (index, run) in runs.enumerate() {
            // Messages that every run contains are shown once.
            let first = index == 0;
            let own = |record: &ExportRecord| {
                let trigger = self.trigger(record.kind());
                first || trigger == Some(&Trigger::Record)
            };
            records.extend(run.start.into_iter().filter(own));
            if first {
                records.extend(run.heartbeat);
                end = run.finish;
            }
            records.extend(run.interval);
        }
        records.extend(end);
        records
    }

    fn trigger(&self, kind: &str) -> Option<&Trigger> {
        let spec = self.contract.messages.iter().find(|spec| spec.record == kind)?;
        Some(&spec.trigger)
    }

    /// Returns a line about the periodic messages, which are not shown.
    pub(crate) fn outlook(&self) -> String {
        let every = self.contract.messages.iter().find_map(|spec| match spec.trigger {
            Trigger::Heartbeat { seconds } | Trigger::Interval { seconds, .. } => Some(seconds),
            _ => None,
        });
        let Some(seconds) = every else { return String::new() };
        let (what, name) = match self.name {
            Some(Name::Vllm | Name::Vllm040) => ("a heartbeat", "vllm-heartbeat"),
            Some(Name::Lmcache) => ("the values of its counters", "lmcache-interval"),
            Some(Name::LmcacheMp) => ("the values of its counters", "lmcache-mp-interval"),
            _ => return String::new(),
        };
        format!("Every {seconds} s after that, {what}: --contract {name}\n")
    }
}

/// Returns a record with the examples of a message as values.
fn example(spec: &MessageSpec) -> Attributes {
    spec.fields.iter().fold(Attributes::new(spec.record.as_ref()), |record, field| {
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
