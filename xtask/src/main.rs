//! House tasks: `cargo xtask <task>`.
//!
//! In: the workspace. Out: a check that passes, or one line that says what differs and how to
//! accept it. What CI runs, a laptop runs.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    reason = "a tool for developers: it starts cargo and is not part of the library"
)]

mod fuzz;
mod probe_gate;
mod small_build;
mod tools;
mod torture;

use clap::{Parser, Subcommand};

/// House tasks of otel-usage.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs every fuzz target for a short time.
    FuzzSmoke {
        /// How long each runs.
        #[arg(long, default_value_t = 10)]
        seconds: u32,
    },
    /// Counts the probe's instructions and system calls against its floor.
    ProbeGate,
    /// Builds the library without features, and compares its dependencies with the checked-in list.
    SmallBuild {
        /// Accept the dependencies as they are now.
        #[arg(long)]
        write: bool,
    },
    /// Runs the closed-world property for much longer than the tests do.
    Torture {
        /// How many random worlds.
        #[arg(long, default_value_t = 1_000_000)]
        cases: u32,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::FuzzSmoke { seconds } => fuzz::smoke(seconds),
        Task::ProbeGate => probe_gate::check(),
        Task::SmallBuild { write } => small_build::check(write),
        Task::Torture { cases } => torture::run(cases),
    }
}
