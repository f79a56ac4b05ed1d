//! Tasks for the maintainers of otel-usage: `cargo xtask <task>`. CI and developers run the same tasks.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::arithmetic_side_effects,
    reason = "a tool for developers: it starts cargo and is not part of the library"
)]

mod api;
mod arm;
mod classes;
mod collector;
mod demo;
mod dist;
mod e2e;
#[cfg(target_os = "linux")]
mod exit_delay;
mod features;
mod fuzz;
mod generate;
mod msrv;
mod package;
mod pictures;
mod probe_gate;
mod python;
#[cfg(target_os = "linux")]
mod python_costs;
mod python_upstream;
mod rustup;
mod small_build;
mod supply_chain;
mod tools;
mod torture;
mod wheel_paths;
mod wheels;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks for the maintainers of otel-usage.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Compare the public API with the checked-in list, and check the types of other crates in it
    ///
    /// Needs a nightly toolchain, which is installed by rustup.
    Api {
        /// Only check, and write nothing
        #[arg(long)]
        check: bool,
    },
    /// Build the collector of `otel-collector/manifest.yaml` and print its path
    ///
    /// Needs Go. The first build takes minutes.
    Collector,
    /// Show what the library does beside the Python originals, or with a fleet of engines
    #[command(subcommand)]
    Demo(Demo),
    /// Lay out the command with its manual pages and completions, for a package
    Dist {
        /// Folder with `bin` and `share` [default: dist in the target folder]
        #[arg(long, value_name = "DIR")]
        out: Option<std::path::PathBuf>,
        /// Use the debug build
        #[arg(long)]
        debug: bool,
    },
    /// Test the chains through a real collector
    ///
    /// Needs Go.
    E2e {
        /// Also test with Kafka and ClickHouse, which needs Python and packages from PyPI
        #[arg(long)]
        all: bool,
        /// Run LMCache's own tests over the Python package instead
        ///
        /// Needs Python 3.11, packages from PyPI and 7 GB of disk, because these tests use torch.
        #[arg(long, conflicts_with = "all")]
        python_upstream: bool,
        /// Ask the usage server's file and ClickHouse every question about a million records instead
        ///
        /// Needs Python and a package from PyPI, and takes minutes.
        #[arg(long, conflicts_with_all = ["all", "python_upstream"])]
        clickhouse_million: bool,
    },
    /// Measure how long engines take to end while their server hangs, beside the Python originals
    ///
    /// Prints the table of docs/operator/delivery.md. Needs Python, packages from PyPI and a C compiler, and
    /// takes several minutes, because an original waits 20 s.
    ExitDelay {
        /// Measurements of each figure, of which the median is shown
        #[arg(long, default_value_t = 1)]
        times: usize,
    },
    /// Check the library with each feature alone, none and all, and for other systems
    ///
    /// Installs missing targets by rustup. Also checks that the command compiles without the bridge.
    Features,
    /// Run every fuzz target for a short time
    ///
    /// Needs a C++ compiler.
    FuzzSmoke {
        /// Seconds for each target
        #[arg(long, default_value_t = 10)]
        seconds: u32,
    },
    /// Write the files that follow from the contracts: dictionary, schemas, tables, allow-list
    ///
    /// Also checks that the changelog names every class of data that a contract sends.
    Generate {
        /// Only name the files that differ
        #[arg(long)]
        check: bool,
    },
    /// Check the library and its macros with the oldest supported Rust
    ///
    /// Installs that toolchain by rustup.
    Msrv,
    /// Make the packages of the library and its macros, and build them from their own files
    Package,
    /// Draw the measured costs: `docs/pictures/costs.svg`
    Pictures {
        /// Only say whether the file shows the figures of the performance page
        #[arg(long)]
        check: bool,
    },
    /// Count instructions and system calls of the detectors and compare them with a minimal program
    ///
    /// Needs valgrind and strace.
    ProbeGate,
    /// Build the wheel of the Python package for this machine, and test it with each Python that is here
    ///
    /// Needs Python with its module venv, and packages from PyPI.
    Python {
        /// Test this wheel instead
        #[arg(long, value_name = "FILE")]
        wheel: Option<std::path::PathBuf>,
        /// Arguments for pytest
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Measure what the Python package costs, beside the Python originals
    ///
    /// Prints the table of docs/project/performance.md. Needs Python and packages from PyPI, and takes several minutes,
    /// because an original waits 20 s.
    PythonCosts,
    /// Build the library without features and compare its dependencies with the checked-in list
    SmallBuild {
        /// Accept the dependencies as they are now
        #[arg(long)]
        write: bool,
    },
    /// Check licences and sources of all dependencies against `deny.toml`
    ///
    /// Needs cargo-deny.
    SupplyChain,
    /// Run the random tests much longer than the test command does
    Torture {
        /// Run this part only
        #[arg(long, value_enum)]
        only: Option<torture::Part>,
        /// Number of cases of each part [default: that of the part]
        #[arg(long)]
        cases: Option<u32>,
    },
    /// Build the wheels of the Python package for every machine, and its source package
    ///
    /// Needs Python with its module venv, packages from PyPI, and targets that rustup installs.
    Wheels {
        /// Folder for the files [default: wheels in the target folder]
        #[arg(long, value_name = "DIR")]
        out: Option<std::path::PathBuf>,
        /// Build the wheel for this target only, such as `x86_64-unknown-linux-gnu`, and no source package
        #[arg(long, value_name = "TARGET")]
        only: Vec<String>,
    },
}

#[derive(Subcommand)]
enum Demo {
    /// Compare what the Python originals and this library send, what it costs, and how an engine ends
    ///
    /// Needs Python and packages from PyPI.
    Adopt,
    /// Show that no report is lost while the servers behind 10,000 engines are unavailable
    ///
    /// Needs Go.
    Fleet {
        /// Number of engines
        #[arg(long, default_value_t = 10_000)]
        engines: u32,
        /// Minutes of the run. The usage server is away for two fifths of them
        #[arg(long, default_value_t = 5.0)]
        minutes: f64,
    },
    /// Show the usage server's page with a made-up month
    ///
    /// A fleet reports for a month on a clock that runs faster. Listens on the loopback.
    Serve,
    /// Show what an engine does that is switched off, and one that is on but has no network
    ///
    /// Runs each way to switch collection off under strace, in a sandbox without network and with read-only
    /// file systems, and counts what leaves a mark. Needs strace, and for the second part a C compiler.
    Silence,
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, also where RUST_BACKTRACE is set: the text names the remedy.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Api { check } => api::run(check),
        Task::Collector => {
            if let Some(path) = collector::build()? {
                println!("{}", path.display());
            }
            Ok(())
        }
        Task::Demo(Demo::Adopt) => demo::adopt(),
        Task::Demo(Demo::Fleet { engines, minutes }) => demo::fleet(engines, minutes),
        Task::Demo(Demo::Serve) => demo::serve(),
        #[cfg(target_os = "linux")]
        Task::Demo(Demo::Silence) => demo::silence(),
        #[cfg(not(target_os = "linux"))]
        Task::Demo(Demo::Silence) => tools::skip("namespaces and strace exist on Linux only"),
        Task::Dist { out, debug } => dist::run(out, debug),
        Task::E2e { python_upstream: true, .. } => python_upstream::run(),
        Task::E2e { clickhouse_million: true, .. } => e2e::million(),
        Task::E2e { all, .. } => e2e::run(all),
        #[cfg(target_os = "linux")]
        Task::ExitDelay { times } => exit_delay::run(times),
        #[cfg(not(target_os = "linux"))]
        Task::ExitDelay { .. } => tools::skip("the originals run on Linux only"),
        Task::Features => features::check(),
        Task::FuzzSmoke { seconds } => fuzz::smoke(seconds),
        Task::Generate { check } => generate::run(check),
        Task::Msrv => msrv::check(),
        Task::Package => package::check(),
        Task::Pictures { check } => pictures::run(check),
        Task::ProbeGate => probe_gate::check(),
        Task::Python { wheel, arguments } => python::test(wheel, &arguments),
        #[cfg(target_os = "linux")]
        Task::PythonCosts => python_costs::run(),
        #[cfg(not(target_os = "linux"))]
        Task::PythonCosts => tools::skip("the originals run on Linux only"),
        Task::SmallBuild { write } => small_build::check(write),
        Task::SupplyChain => supply_chain::check(),
        Task::Torture { only, cases } => torture::run(only, cases),
        Task::Wheels { out, only } => wheels::run(out, &only),
    }
}
