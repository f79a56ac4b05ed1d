//! Anonymous usage telemetry for inference engines, as ordinary OpenTelemetry.
//!
//! An engine reports on which hardware and with which settings it runs. The environment probe is
//! the OpenTelemetry *Resource*, what the engine says are *span attributes*, and the exporter is
//! chosen per deployment: flat JSON to the usage server, a local file, OTLP, the console, or none.
//!
//! ```text
//!  machine ──probe──► resource ─┐
//!                               ├─► worker ─► flatten ─► server | file | console
//!  engine ──record──────────────┘        └─────────────► otlp
//!           (handle or layer)
//!  consent stands before all of it
//! ```
//!
//! # What is sent, and how to stop it
//!
//! Only what the engine's [`Contract`] lists, on every sink. `DO_NOT_TRACK=1` stops every engine;
//! `docs/environment.md` lists the other switches, `docs/privacy.md` what the data can reveal, and
//! `otel-usage preview` shows the exact bytes.
//!
//! # An engine in four lines
//!
//! ```
//! use otel_usage::schema::lmcache;
//! # use otel_usage::{Consent, Usage};
//!
//! # fn main() -> Result<(), otel_usage::Error> {
//! let usage = Usage::builder(&lmcache::V1)
//!     .with_version("0.5.6")
//! #   .with_consent(Consent::Off)
//!     .init()?;
//! usage.start(lmcache::Engine { chunk_size: 256, ..Default::default() });
//! usage.finish();
//! # Ok(())
//! # }
//! ```
//!
//! The same through `tracing`, with [`Usage::layer`] in the engine's subscriber:
//!
//! ```
//! use tracing::{Level, event};
//! event!(name: "lmcache.engine", target: "otel_usage", Level::INFO, lmcache.chunk_size = 256);
//! ```
//!
//! # Features
//!
//! None is on by default, and none changes behaviour by being on:
//!
//! - `http`: the `server` exporter;
//! - `otlp`: the `otlp` exporter (http/protobuf);
//! - `gpu`: NVIDIA devices by NVML, loaded at run time;
//! - `derive`: `#[derive(UsageRecord)]`, a record of an engine's own with every field classified.
//! - `config-file`: the YAML file that `OTEL_USAGE_CONFIG` names.
//!
//! # Promises
//!
//! Recording never blocks, panics or returns an error, and holds a bounded amount of memory. All
//! work happens on one thread of ours. There are no panics in the library's own code (lints forbid
//! them); under `panic = "abort"` those lints are the guarantee, because nothing could be caught.
//! The library installs no signal handler, panic hook, global subscriber or TLS provider. A forked
//! child does not report.

mod clock;
pub mod config;
mod error;
mod export;
mod flatten;
mod helper;
mod json;
mod loss;
mod meter;
mod notice;
pub mod probe;
mod record;
mod resource;
pub mod schema;
mod sink;
mod stats;
mod sys;

pub use clock::Clock;
pub use config::{Consent, Decision, Env, Exporter};
pub use error::Error;
pub use export::UsageExporter;
pub use flatten::{Json, Message, flatten};
pub use json::Python as PythonFormatter;
pub use loss::Loss;
pub use meter::{Counter, Gauge, Histogram, Series};
#[cfg(feature = "derive")]
pub use otel_usage_macros::UsageRecord;
pub use probe::Accelerators;
pub use record::{Builder, Flush, RunPreview, Usage};
pub use schema::{
    Attributes, Contract, DescribedRecord, IntoAttribute, TypedAttribute, UsageRecord,
};
pub use sink::{Outcome, Report, Sink};
pub use stats::{SinkStats, Stats};

/// The name of our instrumentation scope, on every exported span.
pub const SCOPE: &str = "otel_usage";

/// The README's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// So do those of the guide for an engine's author.
#[cfg(all(doctest, feature = "derive"))]
#[doc = include_str!("../docs/own-engine.md")]
struct OwnEngine;
