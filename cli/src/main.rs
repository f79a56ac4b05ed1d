//! The command `otel-usage`: arguments in, text and an exit code out. It never sends anything.

mod app;
mod completions;
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

fn main() -> ExitCode {
    let code = app::run(std::env::args_os()).unwrap_or_else(|error| {
        output::error(&error);
        exit::ERROR
    });
    ExitCode::from(code)
}
