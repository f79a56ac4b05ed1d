//! The contracts of otel-usage: what an inference engine may send, as tables.
//!
//! A [`Contract`] lists the messages of one engine: the endpoint and the trigger of each, and for
//! each field its wire name, type, unit, source, null rule, sanitizers and meaning. Everything else
//! follows from these tables: [`flatten`], the previews, the generated documents, and the closed
//! world. An attribute that no table declares does not leave the process.
//!
//! ```text
//!  Resource attributes ─► ResourceValues ─┐
//!                                         ├─► flatten ─► Message ─► flat JSON
//!  span attributes ─────► Record ─────────┘
//!           (codec.rs: one place for each declared attribute, no place for anything else)
//! ```
//!
//! This crate is pure: it reads no clock, no environment variable and no file, and it opens no
//! socket and starts no thread. An engine, a preview, a bridge in another process and a usage server
//! therefore make the same bytes from the same values. Engines use it as `otel_usage::schema`.

#[cfg(feature = "http")]
mod authority;
mod check;
mod codec;
mod compile;
mod consent;
mod contract;
mod contract_file;
mod contracts;
#[cfg(feature = "http")]
mod destination;
mod error;
mod field;
mod flatten;
mod free_text;
mod json;
mod loss;
mod model_name;
mod omit;
#[cfg(feature = "http")]
mod proxy;
mod record;
pub mod resource;
pub mod sanitize;
mod text_log;
mod token;
mod trigger;
mod types;
mod value;
mod wire_value;

/// An attribute and its value, as OpenTelemetry has them: a record is a list of these.
pub use opentelemetry::{Key, KeyValue, Value};

#[cfg(feature = "http")]
pub use authority::authorities;
pub use codec::{Record, ResourceValues};
pub use compile::CompiledContract;
pub use consent::{Consent, Decision};
pub use contract::{Contract, Directory, MessageSpec, OffWhen, Switch};
pub use contracts::{lmcache, vllm};
#[cfg(feature = "http")]
pub use destination::{Destination, retry_after};
pub use error::ContractError;
pub use field::{Attribute, Field};
pub use flatten::{Message, flatten};
/// Not part of the API: tests and benches of this repository write other values as messages are written.
#[doc(hidden)]
pub use json::PythonFormatter;
pub use loss::Loss;
#[cfg(feature = "http")]
pub use proxy::Proxies;
pub use record::{Attributes, DescribedRecord, IntoAttribute, TypedAttribute, UsageRecord};
pub use resource::RESOURCE_ATTRIBUTES;
pub use sanitize::Sanitizer;
pub use trigger::{Schedule, Trigger};
pub use types::{Buckets, Instrument, Literal, Origin, Privacy, Source, Type};
pub use wire_value::WireValue;

/// Attributes that every exported span carries beside those of its contract.
///
/// The bridge and the collector route by them. They never reach flat JSON.
pub mod transport {
    /// The name of the instrumentation scope of every exported span.
    pub const SCOPE: &str = "otel_usage";
    /// The schema of the names that are the semantic conventions' own, for Resource and scope.
    pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";
    /// The contract's id, for example `vllm/current`. Shape: string.
    pub const CONTRACT: &str = "otel_usage.contract";
    /// The record's kind, for example `lmcache.engine`. Shape: string.
    pub const RECORD_KIND: &str = "otel_usage.record.kind";
    /// The record's identity. Shape: UUID v4 in lower case.
    pub const RECORD_ID: &str = "otel_usage.record.id";
    /// `direct` when the process also posts to the usage server itself, so that a bridge does not
    /// deliver the record a second time. Shape: string. Absent otherwise.
    pub const DELIVERY: &str = "otel_usage.delivery";
    /// Returns every name of this list, and those of the counts of losses
    /// ([`Loss::attribute`](crate::Loss::attribute)).
    pub fn names() -> impl Iterator<Item = &'static str> {
        let losses = crate::Loss::ALL.iter().filter_map(|loss| loss.attribute());
        [CONTRACT, RECORD_KIND, RECORD_ID, DELIVERY].into_iter().chain(losses)
    }
    /// The kind of the span that lasts from start to finish of the run; OTLP only.
    pub const RUN: &str = "run";
}

/// Attributes of records that the library makes for the engine.
///
/// A contract that declares one of them gets its value with each record that the library makes.
pub mod run {
    /// When the run started. Shape: `YYYY-MM-DD HH:MM:SS`, local time without zone.
    pub const START_TIME: &str = "otel_usage.run.start_time";
    /// Time since the run started. Unit: seconds.
    pub const DURATION: &str = "otel_usage.run.duration";
    /// Number of the interval, from 1. Every kind counts for itself, and a lost interval leaves a
    /// gap.
    pub const SEQUENCE_NUMBER: &str = "otel_usage.sequence_number";
    /// Length of the interval. Unit: seconds.
    pub const INTERVAL: &str = "otel_usage.interval.duration";

    /// Every attribute of this list.
    pub const ALL: [&str; 4] = [START_TIME, DURATION, SEQUENCE_NUMBER, INTERVAL];
}
