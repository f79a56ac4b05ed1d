//! Measures what usage telemetry costs an engine at its start, at a later record, and at its end.
//!
//! The engines are made up, and the usage server is a loopback port of this program. The bench compares:
//!
//! - the initialiser with a bare thread spawn (goals: 1.0 times, 1 ms at the 99th percentile);
//! - an initialiser that finds an opt-out with reading three variables and a `stat`;
//! - the first record of a process, from the initialiser to the server, with an empty process (wall time,
//!   CPU, memory, threads);
//! - a usage event with the plain OpenTelemetry layer;
//! - the end of a process whose server never answers.
//!
//! ```sh
//! cargo bench --bench start
//! ```

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]
#![expect(clippy::cast_precision_loss, reason = "figures of three digits are printed")]

mod events;
mod process;
#[path = "../support/mod.rs"]
mod support;
mod turns;

use std::hint::black_box;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use opentelemetry::KeyValue;
use otel_usage::schema::{Contract, lmcache, vllm};
use otel_usage::settings::Env;
use otel_usage::{Usage, UsageRecord};
use otel_usage_testing::receiver::{Answer, Receiver};
use otel_usage_testing::sample;
use support::{Case, Times};
use turns::{Turns, timed};

type Failure = Box<dyn std::error::Error>;

/// Number of calls of everything that is timed one by one. It is enough for a 99th percentile.
const CALLS: usize = 1000;

/// Number of processes of each case.
const PROCESSES: usize = 15;

/// Longest wait for a message that has to arrive.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> Result<(), Failure> {
    if let Some(child) = support::option("--child") {
        return run_child(&child);
    }
    if !support::is_bench() {
        return Ok(());
    }
    initialiser()?;
    opted_out()?;
    process::first_record()?;
    events::all()?;
    hanging_server()
}

/// Returns the handle of an engine with made-up data and no default destination.
fn usage(contract: &Contract, exporters: &str, url: &str) -> Result<Usage, Failure> {
    let variable = contract.server_variable.as_deref().unwrap_or_default();
    let usage = Usage::builder(contract)
        .with_sample_data()
        .with_accelerators(sample::accelerators())
        .with_environment(Env::given([
            ("HOME", "/dev/null"),
            ("OTEL_USAGE_MODE", "on"),
            ("OTEL_USAGE_EXPORTERS", exporters),
            (variable, url),
        ]))
        .on_notice(|_, _| {})
        .try_init()?;
    if usage.is_enabled() {
        Ok(usage)
    } else {
        Err(format!("collection is off here: {}", usage.decision().because).into())
    }
}

fn run_child(kind: &str) -> Result<(), Failure> {
    let url = support::option("--url").unwrap_or_default();
    match kind {
        "empty" => process::be_empty(),
        "vllm" => process::report_once(&vllm::CURRENT, &url, sample::vllm_report()),
        "lmcache" => process::report_once(&lmcache::V1, &url, sample::lmcache_engine()),
        other => events::child(other),
    }
}

fn initialiser() -> Result<(), Failure> {
    let server = Receiver::start();
    let url = server.url();
    let mut turns = Turns::default();
    for round in 0..CALLS {
        let (sender, receiver) = mpsc::channel::<()>();
        let (thread, wall, cpu) = timed(|| {
            std::thread::Builder::new()
                .name("bare".to_owned())
                .spawn(move || receiver.recv().is_ok())
        });
        turns.add("a bare thread that waits", wall, cpu);
        drop(sender);
        let _ = thread?.join();

        // The case after the bare thread pays for the work that the thread leaves behind.
        let mut kinds = [("init, no exporter", "none"), ("init, server", "server")];
        kinds.rotate_left(round % 2);
        for (name, exporters) in kinds {
            let (usage, wall, cpu) = timed(|| usage(&vllm::CURRENT, exporters, &url));
            turns.add(name, wall, cpu);
            usage?.finish();
        }
        let (_, wall, cpu) = timed(|| black_box(Env::process(&vllm::CURRENT)));
        turns.add("reading the environment, which init does too", wall, cpu);

        let usage = usage(&vllm::CURRENT, "none", &url)?;
        let report = sample::vllm_report();
        let ((), wall, cpu) = timed(|| usage.record(report));
        turns.add("record(report)", wall, cpu);
        usage.finish();
    }
    turns.print("The initialiser's and the first record's part of the engine's thread");
    Ok(())
}

struct Nothing;

impl UsageRecord for Nothing {
    fn kind(&self) -> &str {
        vllm::REPORT
    }

    fn attributes(self) -> Vec<KeyValue> {
        Vec::new()
    }
}

fn opted_out() -> Result<(), Failure> {
    let home = tempfile::tempdir()?;
    let directory = home.path().join(".config/vllm");
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join("do_not_track"), "")?;
    let home = home.path().to_string_lossy().into_owned();
    let init = |variables: &[(&str, &str)]| {
        black_box(Env::process(&vllm::CURRENT));
        let usage = Usage::builder(&vllm::CURRENT)
            .with_sample_data()
            .with_environment(Env::given(variables.iter().copied()))
            .init();
        assert!(!usage.is_enabled(), "collection is off");
    };
    let off = Usage::builder(&vllm::CURRENT)
        .with_sample_data()
        .with_environment(Env::given([("DO_NOT_TRACK", "1")]))
        .try_init()?;
    let mut cases = [
        Case::new("three variables and a stat", || {
            for name in ["DO_NOT_TRACK", "VLLM_DO_NOT_TRACK", "VLLM_NO_USAGE_STATS"] {
                #[expect(clippy::disallowed_methods, reason = "the floor of what init does")]
                black_box(std::env::var_os(name));
            }
            let _ = black_box(std::fs::symlink_metadata(Path::new("/nonexistent/do_not_track")));
        }),
        Case::new("init, off by variable", || init(&[("DO_NOT_TRACK", "1"), ("HOME", &home)])),
        Case::new("init, off by file", || init(&[("OTEL_USAGE_MODE", "on"), ("HOME", &home)])),
        Case::new("of that, reading the environment", || {
            black_box(Env::process(&vllm::CURRENT));
        }),
        Case::new("start(..) when off", || off.record(black_box(Nothing))),
    ];
    let times = support::rounds(&mut cases, 21);
    support::print("Opted out", &cases, &times);
    Ok(())
}

fn hanging_server() -> Result<(), Failure> {
    let mut drops = Times::default();
    for _ in 0..5 {
        let server = Receiver::scripted(Vec::new(), Answer::Hang);
        let usage = usage(&vllm::CURRENT, "server", &server.url())?;
        usage.record(sample::vllm_report());
        server.requests.recv_timeout(PATIENCE)?;
        let ((), wall, _) = timed(|| drop(usage));
        drops.0.push(wall / 1e6);
    }
    println!(
        "\nThe last drop, server that never answers: {:.1} ms, at most {:.1} ms (5 times)",
        drops.median(),
        drops.quantile(1.0)
    );
    Ok(())
}
