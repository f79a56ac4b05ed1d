//! A server that keeps its messages in ClickHouse: what its spool takes, and how quickly ClickHouse takes it from there.
//! chDB, ClickHouse's engine in a Python process, plays ClickHouse on the same cores.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use otel_usage_serve::clickhouse::Keeper;
use rusqlite::{Connection, OpenFlags};

use crate::begin;
use crate::load::{self, Phase};
use crate::process::Process;

/// A ClickHouse process. It ends when dropped.
struct Engine(Child);

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Engine {
    fn start(python: &str, at: SocketAddr, folder: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/collector/clickhouse.py");
        let mut command = Command::new(python);
        command.arg(script).arg(at.port().to_string()).arg(folder).stdout(Stdio::null());
        let engine = Self(command.spawn().unwrap());
        while TcpStream::connect(at).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        engine
    }
}

/// Returns the ClickHouse at an address, with the tables of all contracts.
pub(crate) fn keeper(address: &str) -> Keeper {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../otel-collector/clickhouse");
    let mut tables = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let parts = text.split(";\n").filter(|part| part.contains("CREATE TABLE"));
        tables.extend(parts.map(str::to_owned));
    }
    let mut keeper = Keeper::new(address, tables);
    // The whole load fits.
    keeper.spool_bytes = 8 << 30;
    keeper
}

/// Returns how many messages wait.
fn waiting(data: &Path) -> i64 {
    let file = Connection::open_with_flags(data, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let sum = "SELECT coalesce(sum(messages), 0) FROM spool";
    file.query_row(sum, [], |row| row.get(0)).unwrap()
}

pub(crate) fn measure(python: &str, arguments: &[String]) {
    let (time, folder, runtime) = begin(arguments);
    let data = folder.path().join("usage.db");
    // The port is free again at once.
    let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let door = Process::own(&["door"]);
    for phase in [Phase::FlatOut, Phase::Batches] {
        load::print(&runtime, &door, "front door", phase, time);
    }
    door.terminate();
    let server = Process::own(&["serve", data.to_str().unwrap(), &format!("http://{at}")]);
    for phase in [Phase::FlatOut, Phase::Paced, Phase::Batches] {
        load::print(&runtime, &server, "spool, ClickHouse away", phase, time);
    }
    let (messages, cpu) = (waiting(&data), server.cpu());
    let engine = Engine::start(python, at, &folder.path().join("clickhouse"));
    let began = Instant::now();
    while waiting(&data) > 0 {
        std::thread::sleep(Duration::from_millis(50));
    }
    let cpu = (server.cpu() - cpu).as_secs_f64() * 1e6 / messages as f64;
    println!(
        "delivery of {messages} messages: {:.0} records/s, {cpu:.1} µs of CPU a record",
        messages as f64 / began.elapsed().as_secs_f64()
    );
    for phase in [Phase::FlatOut, Phase::Batches] {
        load::print(&runtime, &server, "spool and delivery", phase, time);
        println!("{} messages wait at its end", waiting(&data));
    }
    println!("memory of the server: {:.0} MiB at most", server.resident_mib("VmHWM"));
    drop(engine);
    // It would wait for ClickHouse.
    drop(server);
}
