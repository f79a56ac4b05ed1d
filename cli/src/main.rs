//! The command `otel-usage`: arguments in, text and an exit code out. Only the bridge sends anything.

mod app;
mod bridge;
mod completions;
mod config;
mod contract;
mod destination;
mod exit;
mod mode;
mod output;
mod preview;
mod probe;
#[path = "../../examples/support/sample.rs"]
mod sample;
mod schema;
mod status;
mod subject;

use std::process::ExitCode;

/// A record is some hundred short texts to the bridge, made by one thread and freed by another;
/// `cargo bench --bench cost` tells what this allocator saves.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let code = app::run(std::env::args_os()).unwrap_or_else(|error| {
        output::error(&error);
        exit::ERROR
    });
    ExitCode::from(code)
}
