//! Anonymous usage telemetry for inference engines, as ordinary OpenTelemetry.
//!
//! An engine reports on which hardware and with which settings it runs. Facts about the machine are the
//! OpenTelemetry *Resource*, records of the engine are *spans*, and the exporter is chosen per
//! deployment: flat JSON to the usage server, a local file, OTLP, the console, or none.
//!
//! ```text
//!  machine ──detectors──► Resource ─┐
//!                                   ├─► worker ─► flatten ─► server | file | console
//!  engine ──record──────────────────┘        └─────────────► otlp
//!           (handle or layer)
//!  consent comes before all of it
//! ```
//!
//! # Install
//!
//! No feature is on by default. A feature adds API and changes no behaviour:
//!
//! - `http`: the `server` exporter;
//! - `otlp`: the `otlp` exporter (http/protobuf);
//! - `gpu`: facts about NVIDIA devices, by NVML, which is loaded at run time;
//! - `config-file`: the YAML file that `OTEL_USAGE_CONFIG` names;
//! - `derive`: `#[derive(UsageRecord)]`, for an engine's own record;
//! - `recording`: a machine as a folder that can be read elsewhere, for tests and for the command.
//!
//! # Report
//!
//! ```
//! use otel_usage::schema::lmcache;
//! use otel_usage::Usage;
//! # use otel_usage::Consent;
//!
//! let usage = Usage::builder(&lmcache::V1)
//!     .with_version("0.5.6")
//! #   .with_consent(Consent::Off)
//!     .init();
//! usage.record(lmcache::Engine { chunk_size: 256, ..Default::default() });
//! usage.finish();
//! ```
//!
//! The form with `..Default::default()` keeps compiling when a contract gains a field. The default of
//! every member is what the original Python client sends when its engine says nothing.
//!
//! The same record through `tracing`, with [`Usage::layer`] in the engine's subscriber:
//!
//! ```
//! use tracing::{Level, event};
//! event!(name: "lmcache.engine", target: "otel_usage", Level::INFO, lmcache.chunk_size = 256);
//! ```
//!
//! # Count
//!
//! Instruments collect between two messages: [`Usage::counter`], [`Usage::gauge`],
//! [`Usage::histogram`] and [`Usage::series`]. Adding to a counter is one atomic operation.
//!
//! # An own contract
//!
//! A [`Contract`] lists what an engine may send; nothing else leaves, on any exporter. An engine that is
//! neither vLLM nor LMCache describes its record by `#[derive(UsageRecord)]`, where each member is sent,
//! sent after a sanitizer, or private. `docs/engine/own-engine.md` is the guide.
//!
//! # Operate
//!
//! `DO_NOT_TRACK=1` stops every engine. `docs/operator/environment.md` lists every switch, variable and
//! path, `docs/operator/privacy.md` says what the data can reveal, and `otel-usage preview` shows the
//! exact bytes.
//!
//! Recording never blocks, panics or returns an error, and holds a bounded amount of memory. All work
//! happens on one thread of ours, which starts with the first record. The library installs no signal
//! handler, panic hook, global subscriber or TLS provider. A forked child does not report. Under
//! `panic = "abort"` nothing could be caught; lints forbid panics in the library's own code.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod append;
mod builder;
pub mod clock;
mod consent;
#[cfg(feature = "http")]
mod cutoff;
mod delivery;
pub mod detectors;
mod error;
pub mod export;
mod files;
mod helper;
mod inspect;
pub mod instruments;
mod layer;
mod notifier;
#[cfg(feature = "http")]
pub mod receipts;
mod run;
pub mod settings;
#[cfg(feature = "http")]
mod spool;
mod stats;
mod sys;
mod thread;
mod usage;

/// Contracts: what may leave, as tables, and the flattener that follows them.
pub use otel_usage_schema as schema;

pub use builder::Builder;
pub use detectors::Accelerators;
pub use error::Error;
#[cfg(feature = "derive")]
pub use otel_usage_macros::UsageRecord;
pub use otel_usage_schema::{Attributes, Consent, Contract, UsageRecord};
pub use stats::Stats;
pub use usage::{Flush, Usage};

/// Runs the fuzz target of the spool, which no other build can reach.
#[cfg(all(fuzzing, feature = "http"))]
#[doc(hidden)]
pub fn fuzz_spool(input: &[u8]) {
    spool::damage::look_through(input);
}

/// Compiles the README's examples.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Compiles the examples of the page on own contracts.
#[cfg(all(doctest, feature = "derive"))]
#[doc = include_str!("../docs/engine/own-engine.md")]
struct OwnEngine;

/// Compiles the examples of the guide for engine authors.
#[cfg(doctest)]
#[doc = include_str!("../docs/engine/guide.md")]
struct Guide;
