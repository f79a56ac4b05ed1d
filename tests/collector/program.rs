//! Runs the command `otel-usage` as a child process: as the bridge behind a collector, or as the usage server behind that.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client;
use crate::otelcol::free;

#[derive(Debug)]
pub(crate) struct Program {
    command: PathBuf,
    arguments: Vec<String>,
    pub(crate) at: SocketAddr,
    child: Option<Child>,
}

impl Program {
    /// Returns a bridge that is not yet started, with one usage server for every engine.
    pub(crate) fn bridge(command: &Path, server: &str) -> Self {
        let servers = ["vllm", "lmcache"].map(|engine| format!("--server={engine}={server}"));
        let [vllm, lmcache] = &servers;
        Self::new(command, &["bridge", "--exporter=server", vllm, lmcache])
    }

    /// Returns a usage server that is not yet started, with its file and its maintainers' listener.
    pub(crate) fn usage_server(command: &Path, data: &Path, maintainers: SocketAddr) -> Self {
        let (data, maintainers) =
            (format!("--data={}", data.display()), format!("--maintainers={maintainers}"));
        // All messages come from one network: that of the bridge.
        Self::new(command, &["serve", "--rate=0", &data, &maintainers])
    }

    fn new(command: &Path, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self { command: command.to_owned(), arguments, at: free(), child: None }
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
            .args(&self.arguments)
            .args(["--listen", &self.at.to_string()])
            .env_clear()
            .env("OTEL_USAGE_MODE", "on")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let until = Instant::now() + Duration::from_secs(120);
        while client::get(self.at, "/healthz") != Some(200) {
            assert!(Instant::now() < until, "{:?} does not say that it runs", self.arguments);
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

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
