//! Runs the command as an operator does: arguments and environment in, text and exit code out.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

mod bridge;
mod config;
mod mode;
mod preview;
mod probe;
mod same_bytes;
#[path = "../../../examples/support/sample.rs"]
mod sample;
mod schema;
mod shell;
mod status;
