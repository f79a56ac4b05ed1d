//! The usage server of a fleet: `otel-usage serve`, which is killed, unavailable and busy for a while.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use otel_usage_testing::receiver::{Answer, serve};
use serde::Deserialize;
use tempfile::TempDir;

use super::cost::Cost;
use crate::otelcol::free;
use crate::program::Program;

#[derive(Debug)]
pub(super) struct Server {
    command: PathBuf,
    folder: TempDir,
    program: Program,
    maintainers: SocketAddr,
    busy: Option<Busy>,
    pub(super) cost: Cost,
}

/// The counts of the server, each engine and each ten minutes of an engine once.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counted {
    pub(super) starts: u64,
    pub(super) heartbeats: u64,
}

impl Counted {
    pub(super) const fn all(self) -> u64 {
        self.starts + self.heartbeats
    }
}

impl Server {
    pub(super) fn start(command: &Path) -> Self {
        let (folder, maintainers) = (tempfile::tempdir().unwrap(), free());
        let program = Program::usage_server(command, &data(&folder), maintainers).started();
        let command = command.to_owned();
        Self { command, folder, program, maintainers, busy: None, cost: Cost::default() }
    }

    pub(super) fn url(&self) -> String {
        self.program.url()
    }

    /// Kills the server with SIGKILL, so that connections break and are refused.
    pub(super) fn kill(&mut self) {
        self.cost.add(self.program.process());
        self.program.kill();
    }

    /// Answers 503 in its place, as a proxy does while the server behind it is away.
    pub(super) fn be_busy(&mut self) {
        self.busy = Some(Busy::start(self.program.at));
    }

    /// Starts the server again on the same file.
    pub(super) fn recover(&mut self) {
        self.busy = None;
        self.program.start();
    }

    /// Returns a number of the maintainers' metrics, and 0 as long as it does not exist.
    pub(super) fn metric(&self, name: &str) -> u64 {
        let url = format!("http://{}/metrics", self.maintainers);
        let text = ureq::get(&url).call().unwrap().body_mut().read_to_string().unwrap();
        let name = format!("otel_usage_bridge_{name} ");
        text.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |n| n.parse().unwrap())
    }

    /// Returns what the server counts so far.
    pub(super) fn counted(&self) -> Counted {
        #[derive(Deserialize)]
        struct Session {
            beats: u64,
            version: Option<String>,
        }
        let mut sum = Counted::default();
        for line in self.export(&["sessions", "--format=json"]).lines() {
            let session: Session = serde_json::from_str(line).unwrap();
            // Only the start report gives a version.
            sum.starts += u64::from(session.version.is_some());
            sum.heartbeats += session.beats;
        }
        sum
    }

    /// Calls `each` with the time of receipt and the body of every message that the server keeps. Unit of the time:
    /// milliseconds since the Unix epoch.
    pub(super) fn messages(&self, mut each: impl FnMut(i64, &str)) {
        for line in self.export(&["messages"]).lines().skip(1) {
            // The body is the last cell, and its quotes are doubled.
            let mut cells = line.splitn(5, ',');
            let received = cells.nth(2).unwrap().parse().unwrap();
            let body = cells.nth(1).unwrap().trim_matches('"').replace("\"\"", "\"");
            each(received, &body);
        }
    }

    fn export(&self, what: &[&str]) -> String {
        let mut export = Command::new(&self.command);
        export.args(["serve", "export"]).args(what).arg("--data").arg(data(&self.folder));
        let output = export.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

fn data(folder: &TempDir) -> PathBuf {
    folder.path().join("usage.db")
}

/// Answers 503 to everything until it is dropped.
#[derive(Debug)]
struct Busy {
    ended: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Busy {
    fn start(at: SocketAddr) -> Self {
        let listener = TcpListener::bind(at).unwrap();
        listener.set_nonblocking(true).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let accepting = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let Ok((stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(2));
                    continue;
                };
                stream.set_nonblocking(false).unwrap();
                std::thread::spawn(move || {
                    // Without the last line the bridge would stay with this connection.
                    let lines = "Retry-After: 1\r\nConnection: close\r\n";
                    serve(&stream, |_| Answer::Status(503, lines))
                });
            }
        });
        Self { ended, accepting: Some(accepting) }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(accepting) = self.accepting.take() {
            accepting.join().unwrap();
        }
    }
}
