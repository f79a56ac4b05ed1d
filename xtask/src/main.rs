//! House tasks: `cargo xtask <task>`.
//!
//! In: the workspace. Out: a check that passes, or one line that says what differs and how to
//! accept it. What CI runs, a laptop runs.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::arithmetic_side_effects,
    reason = "a tool for developers: it starts cargo and is not part of the library"
)]

mod collector;
#[path = "../../tests/interop/wire/compare.rs"]
mod compare;
mod demo;
mod e2e;
mod fuzz;
mod generate;
mod probe_gate;
#[path = "../../tests/interop/python.rs"]
mod python;
#[path = "../../examples/support/receiver.rs"]
mod receiver;
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
    /// Shows something to a sceptic, on this machine.
    #[command(subcommand)]
    Demo(Demo),
    /// Builds the collector of `otel-collector/manifest.yaml`, and prints where it is.
    Collector,
    /// Runs the chains behind a real collector.
    E2e {
        /// Also those that need a peer from PyPI: Kafka, ClickHouse.
        #[arg(long)]
        all: bool,
    },
    /// Runs every fuzz target for a short time.
    FuzzSmoke {
        /// How long each runs.
        #[arg(long, default_value_t = 10)]
        seconds: u32,
    },
    /// Writes what follows from the contracts: dictionary, schemas, tables, allow-list, completions.
    Generate {
        /// Only say which files differ.
        #[arg(long)]
        check: bool,
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

#[derive(Subcommand)]
enum Demo {
    /// The Python originals and ours side by side: what is sent, what it costs, how they end.
    Adopt,
    /// A fleet in front of a collector, and everything behind it taken away: nothing is lost.
    Fleet {
        /// How many engines.
        #[arg(long, default_value_t = 10_000)]
        engines: u32,
        /// How long they live; two fifths of it the usage server is away.
        #[arg(long, default_value_t = 5.0)]
        minutes: f64,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Demo(Demo::Adopt) => demo::adopt(),
        Task::Demo(Demo::Fleet { engines, minutes }) => demo::fleet(engines, minutes),
        Task::Collector => {
            if let Some(path) = collector::build()? {
                println!("{}", path.display());
            }
            Ok(())
        }
        Task::E2e { all } => e2e::run(all),
        Task::FuzzSmoke { seconds } => fuzz::smoke(seconds),
        Task::Generate { check } => generate::run(check),
        Task::ProbeGate => probe_gate::check(),
        Task::SmallBuild { write } => small_build::check(write),
        Task::Torture { cases } => torture::run(cases),
    }
}
