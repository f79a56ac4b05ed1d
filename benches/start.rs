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

mod support;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, Span, SpanData, SpanProcessor};
use otel_usage::schema::{Contract, lmcache, vllm};
use otel_usage::settings::Env;
use otel_usage::{Flush, Usage, UsageRecord};
use otel_usage_testing::receiver::{Answer, Receiver};
use otel_usage_testing::sample;
use support::{Case, Times};
use tracing::{Level, event, span};
use tracing_subscriber::layer::SubscriberExt as _;

type Failure = Box<dyn std::error::Error>;

/// Number of calls of everything that is timed one by one. It is enough for a 99th percentile.
const CALLS: usize = 1000;

/// Number of processes of each case.
const PROCESSES: usize = 15;

/// Number of events in a row, fewer than the queue holds.
const BURST: usize = 64;

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
    start_report()?;
    events()?;
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

/// Returns the wall time and CPU time of one call on this thread.
fn timed<T>(call: impl FnOnce() -> T) -> (T, f64, f64) {
    let (wall, cpu) = (support::machine_time(), support::thread_cpu());
    let result = call();
    let cpu = support::thread_cpu().saturating_sub(cpu);
    let wall = support::machine_time().saturating_sub(wall);
    (result, wall as f64, cpu as f64)
}

/// Wall and CPU times of several cases that take turns, and their table.
#[derive(Default)]
struct Turns(Vec<(&'static str, Times, Times)>);

impl Turns {
    fn add(&mut self, name: &'static str, wall: f64, cpu: f64) {
        let index = self.0.iter().position(|(known, ..)| *known == name);
        let index = index.unwrap_or_else(|| {
            self.0.push((name, Times::default(), Times::default()));
            self.0.len().saturating_sub(1)
        });
        if let Some((_, walls, cpus)) = self.0.get_mut(index) {
            walls.0.push(wall);
            cpus.0.push(cpu);
        }
    }

    /// Prints a table in microseconds with ratios to the first row.
    fn print(&self, title: &str) {
        println!("\n{title}");
        println!(
            "  {:<46} {:>9} {:>9} {:>7} {:>9} {:>9} {:>7}",
            "us per call", "wall med", "wall p99", "ratio", "CPU med", "CPU least", "ratio"
        );
        let Some((_, wall_floor, cpu_floor)) = self.0.first() else {
            return;
        };
        for (name, wall, cpu) in &self.0 {
            println!(
                "  {name:<46} {:>9.2} {:>9.2} {:>7.2} {:>9.2} {:>9.2} {:>7.2}",
                wall.median() / 1e3,
                wall.quantile(0.99) / 1e3,
                wall.median() / wall_floor.median(),
                cpu.median() / 1e3,
                cpu.least() / 1e3,
                cpu.median() / cpu_floor.median(),
            );
        }
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

/// The figures that a child process prints, and the times at which its messages arrived.
#[derive(Default)]
struct Lives(BTreeMap<String, Times>);

impl Lives {
    fn add(&mut self, name: &str, value: f64) {
        self.0.entry(name.to_owned()).or_default().0.push(value);
    }

    fn median(&self, name: &str) -> f64 {
        self.0.get(name).map_or(f64::NAN, Times::median)
    }
}

fn start_report() -> Result<(), Failure> {
    let server = Receiver::start();
    let kinds = [("empty", 0_usize), ("vllm", 1), ("lmcache", 3)];
    let mut lives: BTreeMap<&str, Lives> = BTreeMap::new();
    for _ in 0..PROCESSES {
        for (kind, messages) in kinds {
            let before = children_cpu();
            let mut command = support::again(&["--child", kind, "--url", &server.url()])?;
            let child = command.stdout(std::process::Stdio::piped()).spawn()?;
            for _ in 0..messages {
                server.requests.recv_timeout(PATIENCE)?;
            }
            let arrived = support::machine_time();
            let output = child.wait_with_output()?;
            let life = lives.entry(kind).or_default();
            life.add("process", children_cpu().saturating_sub(before) as f64);
            for line in String::from_utf8(output.stdout)?.lines() {
                let (name, value) = line.split_once(' ').ok_or("a name and a number")?;
                let value: u64 = value.parse()?;
                if name == "begun" {
                    life.add("arrived", arrived.saturating_sub(value) as f64);
                } else {
                    life.add(name, value as f64);
                }
            }
        }
    }
    println!("\nThe first record of a process, medians of {PROCESSES} processes of each case");
    println!("  {:<46} {:>10} {:>10} {:>10}", "", "empty", "vLLM", "LMCache");
    let row = |title: &str, name: &str, unit: f64| {
        let values =
            kinds.map(|(kind, _)| lives.get(kind).map_or(f64::NAN, |l| l.median(name)) / unit);
        println!("  {title:<46} {:>10.3} {:>10.3} {:>10.3}", values[0], values[1], values[2]);
    };
    row("messages to the server", "messages", 1.0);
    row("init, wall ms", "init", 1e6);
    row("record(report), wall ms", "start", 1e6);
    row("both, CPU of the engine's thread ms", "caller", 1e6);
    row("init to the last message's arrival, wall ms", "arrived", 1e6);
    row("init to the last answer, CPU of all threads ms", "cpu", 1e6);
    row("whole process, CPU ms", "process", 1e6);
    row("peak resident memory, MiB", "memory", 1024.0);
    row("threads while it waits", "threads", 1.0);
    row("wake-ups of our thread in 1 s of waiting", "wakeups", 1.0);
    Ok(())
}

fn run_child(kind: &str) -> Result<(), Failure> {
    let url = support::option("--url").unwrap_or_default();
    match kind {
        "empty" => {
            say("messages", 0);
            life_signs()
        }
        "vllm" => report_once(&vllm::CURRENT, &url, sample::vllm_report()),
        "lmcache" => report_once(&lmcache::V1, &url, sample::lmcache_engine()),
        other => event_child(other),
    }
}

fn say(name: &str, value: u64) {
    println!("{name} {value}");
}

fn report_once(contract: &Contract, url: &str, report: impl UsageRecord) -> Result<(), Failure> {
    let cpu = support::process_cpu();
    let begun = support::machine_time();
    let (usage, init, init_cpu) = timed(|| usage(contract, "server", url));
    let usage = usage?;
    let ((), start, start_cpu) = timed(|| usage.record(report));
    if usage.flush(PATIENCE) != Flush::Settled {
        return Err("the server did not answer".into());
    }
    let cpu = support::process_cpu().saturating_sub(cpu);
    let delivered: u64 = usage.stats().exporters.iter().map(|exporter| exporter.delivered).sum();
    say("messages", delivered);
    say("begun", begun);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole nanoseconds"
    )]
    for (name, value) in [("init", init), ("start", start), ("caller", init_cpu + start_cpu)] {
        say(name, value as u64);
    }
    say("cpu", cpu);
    life_signs()?;
    let before = wakeups();
    #[expect(clippy::disallowed_methods, reason = "idleness is what is measured")]
    std::thread::sleep(Duration::from_secs(1));
    say("wakeups", wakeups().saturating_sub(before));
    Ok(())
}

/// Returns the peak memory and the number of threads from the kernel.
fn life_signs() -> Result<(), Failure> {
    for line in std::fs::read_to_string("/proc/self/status")?.lines() {
        let number = || line.split_whitespace().nth(1).and_then(|number| number.parse().ok());
        if line.starts_with("VmHWM:") {
            say("memory", number().unwrap_or(0));
        } else if line.starts_with("Threads:") {
            say("threads", number().unwrap_or(0));
        }
    }
    Ok(())
}

/// Returns how often the other threads of the process have gone to sleep.
fn wakeups() -> u64 {
    let own = std::process::id().to_string();
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else {
        return 0;
    };
    threads
        .flatten()
        .filter(|thread| thread.file_name().to_string_lossy() != own)
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("status")).ok())
        .filter_map(|status| {
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .sum()
}

/// Returns the CPU time of the child processes that have ended. Unit: nanoseconds.
fn children_cpu() -> u64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    #[expect(
        unsafe_code,
        reason = "the standard library does not say it; SAFETY: `usage` is a valid place for the \
                  answer, and all zeroes are a valid answer"
    )]
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr());
        usage.assume_init()
    };
    [usage.ru_utime, usage.ru_stime]
        .iter()
        .map(|time| {
            let micros = time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_usec);
            u64::try_from(micros).unwrap_or(0).saturating_mul(1000)
        })
        .sum()
}

/// Measures events and spans with ten fields. Each way runs in its own process, because `tracing`
/// remembers the listeners of a callsite for the whole process.
fn events() -> Result<(), Failure> {
    let ways = [
        ("lean-span", "a span, lean OpenTelemetry layer, null processor"),
        ("our-span", "a span through our layer, to the worker"),
        ("our-event", "an event through our layer, to the worker"),
    ];
    let mut times: BTreeMap<&str, Times> = BTreeMap::new();
    for _ in 0..PROCESSES {
        for (way, _) in ways {
            let output = support::again(&["--child", way])?.output()?;
            let text = String::from_utf8(output.stdout)?;
            times.entry(way).or_default().0.push(
                text.trim()
                    .parse()
                    .map_err(|_| format!("{way}: {}", String::from_utf8_lossy(&output.stderr)))?,
            );
        }
    }
    println!("\nTen fields, CPU of the engine's thread, {BURST} in a row");
    println!("  {:<52} {:>10} {:>10} {:>7}", "ns per call", "median", "least", "ratio");
    let Some(floor) = times.get("lean-span") else {
        return Ok(());
    };
    for (way, title) in ways {
        let Some(own) = times.get(way) else { continue };
        println!(
            "  {title:<52} {:>10.0} {:>10.0} {:>7.2}",
            own.median(),
            own.least(),
            own.ratio(floor)
        );
    }
    Ok(())
}

fn one_span() {
    let span = span!(
        target: "otel_usage", Level::INFO, "lmcache.engine",
        lmcache.chunk_size = black_box(256_i64),
        lmcache.local_device = black_box("cpu"),
        lmcache.local_cache.max_gb = black_box(20_i64),
        lmcache.remote.serde = black_box("naive"),
        lmcache.save_decode_cache = black_box(true),
        lmcache.blending.min_tokens = black_box(256_i64),
        lmcache.model.name = black_box("meta-llama/Llama-3.1-8B-Instruct"),
        lmcache.world_size = black_box(1_i64),
        lmcache.worker_id = black_box(3_i64),
        lmcache.kv.dtype = black_box("torch.bfloat16"),
    );
    let _entered = span.enter();
}

fn one_event() {
    event!(
        name: "lmcache.engine", target: "otel_usage", Level::INFO,
        lmcache.chunk_size = black_box(256_i64),
        lmcache.local_device = black_box("cpu"),
        lmcache.local_cache.max_gb = black_box(20_i64),
        lmcache.remote.serde = black_box("naive"),
        lmcache.save_decode_cache = black_box(true),
        lmcache.blending.min_tokens = black_box(256_i64),
        lmcache.model.name = black_box("meta-llama/Llama-3.1-8B-Instruct"),
        lmcache.world_size = black_box(1_i64),
        lmcache.worker_id = black_box(3_i64),
        lmcache.kv.dtype = black_box("torch.bfloat16"),
    );
}

fn event_child(way: &str) -> Result<(), Failure> {
    let engine = if way == "lean-span" {
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::AlwaysOn)
            .with_span_processor(Null)
            .build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("bench"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false);
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))?;
        None
    } else {
        let usage = usage(&lmcache::V1, "none", "")?;
        let subscriber = tracing_subscriber::registry().with(usage.layer());
        tracing::subscriber::set_global_default(subscriber)?;
        Some(usage)
    };
    let call = if way == "our-event" { one_event } else { one_span };
    let mut times = Times::default();
    for _ in 0..101 {
        let before = support::thread_cpu();
        for _ in 0..BURST {
            call();
        }
        let cpu = support::thread_cpu().saturating_sub(before);
        times.0.push(cpu as f64 / BURST as f64);
        if let Some(usage) = &engine {
            // Waits until the worker has taken all of them, because a full queue would refuse the next ones.
            let _ = usage.flush(PATIENCE);
        }
    }
    if engine.is_some_and(|usage| usage.stats().lost.iter().any(|(_, count)| *count > 0)) {
        return Err("records were lost, so other work was measured".into());
    }
    println!("{}", times.median());
    Ok(())
}

#[derive(Debug)]
struct Null;

impl SpanProcessor for Null {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        black_box(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
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
