//! Runs the command as an operator does and checks its output and exit code.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

mod bridge;
#[cfg(target_os = "linux")]
mod bridge_limits;
#[cfg(unix)]
mod check;
mod config;
mod contract;
#[cfg(unix)]
mod forget;
mod mock_server;
mod mode;
mod people;
mod preview;
mod probe;
mod same_bytes;
mod schema;
mod sent;
#[cfg(all(unix, feature = "serve"))]
mod serve;
#[cfg(all(unix, feature = "serve"))]
mod serve_clickhouse;
#[cfg(all(unix, feature = "serve"))]
mod serve_commands;
#[cfg(all(unix, feature = "serve"))]
mod serve_faults;
#[cfg(all(unix, feature = "serve"))]
mod serve_process;
mod shell;
#[cfg(unix)]
mod spool;
mod status;
#[cfg(unix)]
mod waiting;
