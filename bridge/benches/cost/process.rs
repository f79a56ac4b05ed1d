//! Runs a process and measures its CPU time and memory.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Ticks per second of the CPU times in `/proc`, on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

pub(crate) struct Process {
    child: Child,
    /// The first line of its output.
    pub(crate) line: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts this program with other arguments. It prints its URL.
    pub(crate) fn own(arguments: &[&str]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, line: line.trim().to_owned() }
    }

    /// Starts a collector that receives OTLP over HTTP and discards it.
    pub(crate) fn collector(program: &str, folder: &Path) -> (Self, String) {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let address = free();
        let config = format!(
            "receivers: {{otlp: {{protocols: {{http: {{endpoint: '{address}'}}}}}}}}\n\
             exporters: {{nop: {{}}}}\n\
             service:\n  telemetry: {{metrics: {{level: none}}, logs: {{level: error}}}}\n  \
             pipelines: {{traces: {{receivers: [otlp], exporters: [nop]}}}}\n"
        );
        let path = folder.join("nop.yaml");
        std::fs::write(&path, config).unwrap();
        let child = Command::new(program).arg("--config").arg(&path).spawn().unwrap();
        let process = Self { child, line: String::new() };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(began.elapsed() < Duration::from_secs(30), "the collector does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        (process, format!("http://{address}"))
    }

    /// Returns the CPU time of all its threads, in user and kernel mode.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The name in parentheses may contain spaces, so the fields are counted after it.
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks: f64 = fields[11..13].iter().map(|text| text.parse::<f64>().unwrap()).sum();
        Duration::from_secs_f64(ticks / TICKS_PER_SECOND)
    }

    /// Returns `VmRSS` or `VmHWM`.
    pub(crate) fn resident_mib(&self, line: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|found| found.starts_with(line)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}
