//! The command `otel-usage`, with which an operator sees and controls usage telemetry.

mod app;
#[cfg(feature = "bridge")]
mod bridge;
#[cfg(not(feature = "bridge"))]
#[path = "no_bridge.rs"]
mod bridge;
mod check;
mod completions;
mod config;
mod contract;
mod exit;
mod fails;
mod files;
mod forget;
mod look;
mod man;
mod mock_server;
mod mode;
mod output;
mod preview;
mod probe;
mod receipts;
mod sample;
mod schema;
mod sent;
#[cfg(feature = "serve")]
mod serve;
#[cfg(not(feature = "serve"))]
#[path = "no_serve.rs"]
mod serve;
#[cfg(any(feature = "bridge", feature = "serve"))]
mod service;
mod spool;
mod status;
mod words;

use std::process::ExitCode;

/// Saves processor time in the bridge and the usage server, where one thread allocates hundreds of short texts for each record and
/// another thread frees them. `cargo bench --bench cost` measures it.
#[cfg(any(feature = "bridge", feature = "serve"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let code = app::run(std::env::args_os()).unwrap_or_else(|error| {
        output::error(&error);
        exit::ERROR
    });
    ExitCode::from(code)
}
