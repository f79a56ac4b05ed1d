//! The integration tests: one binary, a module per topic. Nothing here talks to anything but
//! loopback, and nothing reads or writes this process's own environment.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking; it starts processes and reads the clock"
)]

#[path = "../../examples/support/receiver.rs"]
mod loopback;
#[path = "../../examples/support/sample.rs"]
mod sample;
mod support;

mod accounting;
mod bad_input;
mod closed_world;
mod config_file;
mod derive;
mod documents;
mod exporters;
mod free_text;
mod golden;
mod identity;
mod intervals;
mod lifecycle;
mod omit;
mod preview;
mod receiver;
mod secrets;
mod tracing_layer;
