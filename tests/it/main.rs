//! The integration tests: one program, a module for each topic.
//!
//! They talk to loopback only. They neither read nor change the environment of this process.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking; it starts processes and reads the clock"
)]

mod accounting;
mod architecture;
mod bad_input;
mod closed_world;
mod config_file;
#[cfg(target_os = "linux")]
mod dead_mount;
mod delivery;
mod derive;
mod documents;
#[cfg(target_os = "linux")]
mod ends;
mod exporters;
mod faults;
mod free_text;
mod golden;
mod identity;
mod intervals;
mod lifecycle;
mod network;
mod omit;
mod otlp;
mod preview;
mod process_limits;
mod receipts;
mod receiver;
mod secrets;
mod span_exporter;
mod spool;
#[cfg(target_os = "linux")]
mod stopped;
mod tracing_layer;
