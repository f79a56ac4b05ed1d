//! Measures a usage server in a process of its own: durable ingest with its clients on the same cores, the time of an
//! answer beside the time of a sync, CPU time a record, bytes on disk a record, the speed of a rebuild, and memory.
//!
//! `cargo bench -p otel-usage-serve --bench ingest -- SECONDS FOLDER`
//!
//! With `OTEL_USAGE_E2E_PYTHON`, a Python with chDB, it measures a server that keeps its messages in ClickHouse instead.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench fails by panicking, and reads the clock"
)]

mod clickhouse;
mod disk;
mod load;
mod process;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use otel_usage_bridge::{Bridge, Config};
use otel_usage_serve::store::Clock;
use otel_usage_serve::{Receives, Server, Settings};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use load::Phase;
use process::Process;

/// The allocator of the command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|one| one != "--bench").collect();
    match arguments.first().map(String::as_str) {
        Some("serve") => serve(Path::new(&arguments[1]), arguments.get(2).map(String::as_str)),
        Some("door") => door(),
        Some("remember") => disk::remember(Path::new(&arguments[1])),
        Some("load") => load_for_a_profiler(&arguments[1], &arguments[2]),
        _ => match std::env::var("OTEL_USAGE_E2E_PYTHON") {
            Ok(python) => clickhouse::measure(&python, &arguments),
            Err(_) => measure(&arguments),
        },
    }
}

/// Returns the time and the folder of a measurement, as the arguments name them, and the runtime of its clients. Prints how
/// busy the machine and how quick the disk is.
fn begin(arguments: &[String]) -> (Duration, TempDir, Runtime) {
    let seconds = arguments.first().and_then(|text| text.parse().ok()).unwrap_or(10);
    let folder = arguments.get(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder).unwrap();
    println!("load average {}", std::fs::read_to_string("/proc/loadavg").unwrap().trim());
    disk::print_sync("before", folder.path());
    (Duration::from_secs(seconds), folder, runtime())
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

fn measure(arguments: &[String]) {
    let (time, folder, runtime) = begin(arguments);
    let data = folder.path().join("usage.db");

    // Only what has to last is measured for the whole time.
    let short = time.min(Duration::from_secs(30));
    let run = |server: &Process, what: &str, phase: Phase, time: Duration| {
        load::print(&runtime, server, what, phase, time);
    };
    // The floor of the CPU time: the same front door, which reads each message and keeps none.
    let door = Process::own(&["door"]);
    for phase in [Phase::FlatOut, Phase::Paced, Phase::Batches] {
        run(&door, "front door", phase, short);
    }
    door.terminate();
    let server = Process::own(&["serve", data.to_str().unwrap()]);
    run(&server, "server", Phase::FlatOut, time);
    run(&server, "server", Phase::Paced, short);
    disk::print_sync("after", folder.path());
    run(&server, "server", Phase::Batches, short);
    println!("memory of the server: {:.0} MiB at most", server.resident_mib("VmHWM"));
    server.terminate();
    disk::measure(&data);
    let memory = Process::own(&["remember", folder.path().join("many.db").to_str().unwrap()]);
    println!("{}", memory.line);
}

/// Posts for so many seconds to a server that runs already, for example below a profiler.
fn load_for_a_profiler(address: &str, seconds: &str) {
    let runtime = runtime();
    let time = Duration::from_secs(seconds.parse().unwrap());
    println!("{}", runtime.block_on(load::run(address, Phase::FlatOut, time)).records);
}

/// Runs a server, and prints its address. It keeps messages in the file, or in the ClickHouse at an address.
fn serve(data: &Path, clickhouse: Option<&str>) {
    let runtime = runtime();
    runtime.block_on(async {
        let mut settings = Settings::new(data);
        settings.listen = vec!["127.0.0.1:0".parse().unwrap()];
        settings.maintainers = Vec::new();
        settings.rate = 0;
        settings.clickhouse = clickhouse.map(clickhouse::keeper);
        let server = Server::bind(&settings, clock()).await.unwrap();
        println!("{}", server.addresses().unwrap()[0]);
        server.serve(input_ends()).await.unwrap();
    });
}

/// Runs the front door of a server without its store, and prints its address.
fn door() {
    let runtime = runtime();
    runtime.block_on(async {
        let mut config = Config::default();
        config.listen = vec!["127.0.0.1:0".parse().unwrap()];
        config.operator = Arc::new(Receives);
        config.flat_posts = true;
        config.exporters.discard = true;
        (config.limits.requests, config.limits.connections) = (4_096, 4_096);
        let door = Bridge::bind(&config).await.unwrap();
        println!("{}", door.addresses().unwrap()[0]);
        door.serve(input_ends()).await;
    });
}

/// Returns when the input of this process ends.
async fn input_ends() {
    let read = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    let _ = tokio::task::spawn_blocking(read).await;
}

/// Returns the clock of this machine.
fn clock() -> Clock {
    Arc::new(|| {
        i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
    })
}
