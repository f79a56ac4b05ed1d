//! Starts every shipped configuration of a real OpenTelemetry Collector and sends records through it.
//!
//! The collector is that of `cargo xtask collector` or of `OTELCOL=/path`. The receiver behind it is
//! scripted: it can be unavailable, refuse, and recover. Without a collector the tests print a line and do
//! nothing; under CI they fail.

#![cfg(unix)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking; it starts processes and reads the clock"
)]

mod client;
mod otelcol;

mod agent_gateway;
mod archive;
mod chain;
mod clickhouse;
mod configurations;
mod direct;
mod fleet;
mod kafka;
mod legacy_flat;
mod outage;
mod peers;
mod program;
