//! Measures CPU, latency and memory of a record in the bridge, and prints a table.
//!
//! The load is vLLM's start record as OTLP/HTTP protobuf, from 16 connections on the loopback. The
//! bridge, its usage server and a collector (`OTELCOL=/path/to/otelcol`) run each in its own process,
//! and the CPU is that of the process alone; so other work on a shared machine changes the rates and
//! not the costs. `--seconds N` is the time for each row; `--outage N` measures memory alone, with a
//! usage server that is away for so long.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for developers: it starts processes, reads the clock and prints"
)]

mod load;
mod process;

use std::time::Duration;

use load::Load;
use otel_usage::schema::vllm;
use otel_usage_bridge::{Bridge, FileExporter};
use otel_usage_testing::{served, upstream};
use process::Process;

/// The allocator of the command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Number of connections of the load.
const CONNECTIONS: usize = 16;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |flag: &str| arguments.iter().skip_while(|word| *word != flag).nth(1).cloned();
    if let Some(exporter) = after("--serve") {
        return serve(&exporter).await;
    }
    if arguments.iter().any(|word| word == "--upstream") {
        let upstream = upstream::Upstream::quiet().await;
        println!("{}", upstream.url);
        return std::future::pending().await;
    }
    let seconds = Duration::from_secs(after("--seconds").map_or(5, |text| text.parse().unwrap()));
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/vllm-current.json");
    let golden = std::fs::read_to_string(golden).unwrap();
    let load = |batch| Load::new(&vllm::CURRENT, "report", &golden, batch);
    if let Some(outage) = after("--outage") {
        return memory(load(1), Duration::from_secs(outage.parse().unwrap())).await;
    }
    println!("record: vLLM's start record, {} bytes of OTLP\n", load(1).bytes());

    println!("| in one process | records a request | records/s | µs CPU a record | peak MiB |");
    println!("| --- | --- | --- | --- | --- |");
    for batch in [1, 100] {
        let upstream = Process::own(&["--upstream"]);
        for (row, exporter) in [
            ("bridge, decode and flatten only", "discard".to_owned()),
            ("bridge → file", "file".to_owned()),
            ("bridge → usage server, one POST a record", upstream.line.clone()),
        ] {
            let bridge = Process::own(&["--serve", &exporter]);
            cost(row, &bridge, &bridge.line, load(batch), batch, seconds).await;
        }
        if let Ok(program) = std::env::var("OTELCOL") {
            let folder = tempfile::tempdir().unwrap();
            let (collector, url) = Process::collector(&program, folder.path());
            cost("otelcol, receive → nop", &collector, &url, load(batch), batch, seconds).await;
        }
    }

    println!(
        "\nlatency of single-record requests at 1,000 a second, to the usage server's answer and back:"
    );
    let upstream = Process::own(&["--upstream"]);
    let bridge = Process::own(&["--serve", &upstream.line]);
    let mut waits = load(1).at_rate(&bridge.line, 1000, seconds, 200).await;
    waits.sort_unstable();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{} requests: p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms; {:.1} MiB resident",
        waits.len(),
        at(0.5),
        at(0.99),
        at(1.0),
        bridge.resident_mib("VmRSS"),
    );
}

/// Measures the memory while the usage server is unavailable.
async fn memory(load: Load, outage: Duration) {
    let bridge = Process::own(&["--serve", &upstream::unreachable().await]);
    let before = bridge.resident_mib("VmRSS");
    let waits = load.at_rate(&bridge.line, 1000, outage, 503).await;
    println!(
        "no usage server for {} s, {} requests answered 503: {before:.1} MiB resident at first, {:.1} MiB at most",
        outage.as_secs(),
        waits.len(),
        bridge.resident_mib("VmHWM"),
    );
}

async fn cost(row: &str, process: &Process, url: &str, load: Load, batch: usize, time: Duration) {
    // Now connections, code and buffers are warm.
    let load = load.flat_out(url, CONNECTIONS, time / 5).await.0;
    let before = process.cpu();
    let (_, requests, took) = load.flat_out(url, CONNECTIONS, time).await;
    let records = (requests * batch) as f64;
    println!(
        "| {row} | {batch} | {:.0} | {:.1} | {:.1} |",
        records / took.as_secs_f64(),
        (process.cpu() - before).as_secs_f64() * 1e6 / records,
        process.resident_mib("VmHWM"),
    );
}

/// Runs the bridge in this process.
async fn serve(exporter: &str) {
    let mut config = served::to_url(exporter);
    let folder = tempfile::tempdir().unwrap();
    if !exporter.starts_with("http://") {
        config.servers.clear();
        config.exporters.server = false;
        config.exporters.discard = exporter == "discard";
        config.exporters.file =
            (exporter == "file").then(|| FileExporter::new(folder.path().join("flat.jsonl")));
    }
    let bridge = Bridge::bind(&config).await.unwrap();
    println!("http://{}", bridge.addresses().unwrap()[0]);
    bridge.serve(std::future::pending()).await;
}
