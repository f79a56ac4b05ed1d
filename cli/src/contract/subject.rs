//! A contract that a subcommand works on, and the messages of a run with it for `otel-usage preview`.
//!
//! Built-in contracts have a sample engine. The engine of a contract file sends the examples in its tables.

use otel_usage::detectors::FACTS;
use otel_usage::export::ExportRecord;
use otel_usage::schema::{
    IntoAttribute as _, Literal, MessageSpec, Origin, Trigger, Value, lmcache,
};
use otel_usage::settings::Inspection;
use otel_usage::{Attributes, Builder, Contract, Usage};

use super::known::Known;
use super::name::Name;
use crate::sample;

/// A contract and the part of it that is shown.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    contract: Contract,
    /// `None` for a contract from a file.
    name: Option<Name>,
}

impl Subject {
    pub(crate) fn built_in(name: Name) -> Self {
        Self { contract: name.contract().clone(), name: Some(name) }
    }

    pub(crate) fn of_file(contract: Contract) -> Self {
        Self { contract, name: None }
    }

    pub(crate) fn of_known(known: Known) -> Self {
        let name = known.file.is_none().then(|| Name::of(&known.contract)).flatten();
        Self { contract: known.contract, name }
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.name == other.name && self.contract == other.contract
    }

    pub(crate) fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Returns where the values of the payloads come from.
    pub(crate) fn values(&self) -> String {
        match self.name {
            Some(_) => "engine values come from a built-in sample engine, hardware values from \
                        this machine; nothing is sent"
                .to_owned(),
            None => format!(
                "{}: engine values are the examples in its contract, hardware values come from \
                 this machine; nothing is sent",
                self.contract.id
            ),
        }
    }

    /// Returns why there is no payload to show.
    pub(crate) fn nothing(&self) -> String {
        let why = match self.contract.messages.is_empty() {
            true => "its contract has no messages",
            false => "its messages are sent only with records, and its contract has none",
        };
        format!("{}: nothing to show, because {why}", self.contract.id)
    }

    pub(crate) fn builder(&self) -> Builder {
        let builder = Usage::builder(&self.contract);
        match self.name {
            None => self.examples_of_resource(builder.with_version("1.0.0")),
            Some(Name::Vllm | Name::VllmHeartbeat) => builder.with_version(sample::VLLM_VERSION),
            Some(Name::Vllm011) => builder.with_version("0.11.0"),
            Some(Name::Vllm07) => builder.with_version("0.7.0"),
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
            Name::Vllm | Name::Vllm011 | Name::Vllm07 | Name::Vllm040 | Name::VllmHeartbeat => {
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

    /// Gives the builder an example of each Resource attribute that only the engine knows.
    fn examples_of_resource(&self, builder: Builder) -> Builder {
        let found = |name: &str| FACTS.iter().any(|fact| fact.attribute == name);
        let told = self.contract.attributes.iter().filter(|attribute| {
            let engine = [Origin::Given, Origin::CudaRuntime, Origin::XpuRuntime];
            engine.contains(&attribute.origin) && !found(&attribute.name)
        });
        told.fold(builder, |builder, attribute| match value(&attribute.example) {
            Some(value) => builder.with_attribute(attribute.name.to_string(), value),
            None => builder,
        })
    }

    /// Returns one run for each record of the contract, with the examples of its fields as values.
    fn records_of_examples(&self, inspection: &Inspection) -> Vec<ExportRecord> {
        let of = |wanted: fn(&Trigger) -> bool| {
            self.contract.messages.iter().filter(move |spec| wanted(&spec.trigger))
        };
        let mut records = Vec::new();
        let mut end = Vec::new();
        for (index, spec) in of(|trigger| *trigger == Trigger::Record).enumerate() {
            let run = inspection.preview_run(example(spec));
            // Messages that every run contains are shown once.
            let own = |record: &ExportRecord| {
                index == 0 || self.trigger(record.kind()) == Some(&Trigger::Record)
            };
            records.extend(run.start.into_iter().filter(own));
            if index == 0 {
                end = run.finish;
            }
        }
        let due = |trigger: &Trigger| {
            matches!(trigger, Trigger::Heartbeat { .. } | Trigger::Interval { .. })
        };
        for spec in of(due) {
            let made = inspection.preview(example(spec));
            records.extend(made.into_iter().filter(|record| record.kind() == spec.record));
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
            Some(Name::Vllm | Name::Vllm011 | Name::Vllm07 | Name::Vllm040) => {
                ("a heartbeat", "vllm-heartbeat")
            }
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
        match (field.source.record(), value(&field.example)) {
            (Some(attribute), Some(value)) => record.with(attribute.to_owned(), value),
            _ => record,
        }
    })
}

/// Returns an example as the value of an attribute.
fn value(example: &Literal) -> Option<Value> {
    match example {
        Literal::Bool(value) => Some(Value::from(*value)),
        Literal::Float(value) => Some(Value::from(*value)),
        Literal::Int(value) => Some(Value::from(*value)),
        Literal::Ints(values) => values.to_vec().into_attribute(),
        Literal::Str(text) => Some(Value::from(text.to_string())),
        Literal::Strs(words) => {
            words.iter().map(ToString::to_string).collect::<Vec<_>>().into_attribute()
        }
        _ => None,
    }
}
