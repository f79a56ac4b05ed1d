//! Runs `otel-usage bridge` as a child process between a collector and a usage server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client;
use crate::otelcol::free;

#[derive(Debug)]
pub(crate) struct Bridge {
    command: PathBuf,
    server: String,
    at: SocketAddr,
    child: Option<Child>,
}

impl Bridge {
    /// Returns a bridge that is not yet started, with one usage server for every engine.
    pub(crate) fn new(command: &Path, server: &str) -> Self {
        Self { command: command.to_owned(), server: server.to_owned(), at: free(), child: None }
    }

    pub(crate) fn started(mut self) -> Self {
        self.start();
        self
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    pub(crate) fn start(&mut self) {
        let child = Command::new(&self.command)
            .args(["bridge", "--exporter", "server", "--listen", &self.at.to_string()])
            .args(["--server", &format!("vllm={}", self.server)])
            .args(["--server", &format!("lmcache={}", self.server)])
            .env_clear()
            .env("OTEL_USAGE_MODE", "on")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let until = Instant::now() + Duration::from_secs(60);
        while client::get(self.at, "/healthz") != Some(200) {
            assert!(Instant::now() < until, "the bridge does not say that it runs");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Returns its process id while it runs.
    pub(crate) fn process(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
