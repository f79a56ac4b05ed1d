//! Behind a real OpenTelemetry Collector: every shipped configuration is started and fed.
//!
//! In: `otel-collector/config/`, the collector of `cargo xtask collector` or of `OTELCOL=/path`, and
//! engines of this library. Out: what a receiver behind the collector gets. The receiver is scripted,
//! so that it can be away, refuse, and come back. Without a collector the chains are not tested, and
//! a line says so; under CI that is a failure.

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

#[allow(dead_code, reason = "shared with tests/interop, which runs its other scripts too")]
#[path = "../interop/python.rs"]
mod python;
#[path = "../../examples/support/receiver.rs"]
mod receiver;
#[path = "../../examples/support/sample.rs"]
mod sample;
#[allow(dead_code, unreachable_pub, reason = "shared with tests/it, and here a part of it is used")]
#[path = "../it/support/mod.rs"]
mod support;

mod client;
mod otelcol;

mod agent_gateway;
mod archive;
mod bridge;
mod chain;
mod clickhouse;
mod configurations;
mod direct;
mod fleet;
mod kafka;
mod legacy_flat;
mod outage;
mod peers;
