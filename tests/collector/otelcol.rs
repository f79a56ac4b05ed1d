//! Runs a collector as a child process with one of the shipped configurations.
//!
//! It listens on free loopback ports and keeps its state in a temporary folder. A failed test prints
//! its log.

use std::ffi::OsStr;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{client, peers};

/// The feature gate without which `set(…, nil)` in the configurations does nothing, so that their last
/// filter drops everything.
pub(crate) const GATE: &str = "--feature-gates=ottl.set.allowNil";

/// Time limit for a collector to start or end on a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Returns the collector to test with. Without one it prints a line and returns `None`, and fails under CI.
pub(crate) fn find() -> Option<PathBuf> {
    static SAID: Once = Once::new();
    // `cargo xtask collector` builds it there.
    let built = root().join(".cache/collector/build/otelcol-usage");
    match std::env::var_os("OTELCOL") {
        Some(given) => Some(PathBuf::from(given)),
        None if built.is_file() => Some(built),
        None => {
            peers::missing(
                "collector",
                "`cargo xtask collector` builds one, or set OTELCOL=/path",
                &SAID,
            );
            None
        }
    }
}

pub(crate) fn root() -> &'static Path {
    otel_usage_testing::root()
}

pub(crate) fn configuration(name: &str) -> PathBuf {
    root().join("otel-collector/config").join(name)
}

/// Returns a free port of this machine. It is below 32768, because the system assigns ports above that by
/// itself and another program could get it.
pub(crate) fn free() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id() * 50;
    loop {
        let at = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000 + 20_000;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(at).unwrap()));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

#[derive(Debug)]
pub(crate) struct Otelcol {
    binary: PathBuf,
    configuration: PathBuf,
    pub(crate) state: TempDir,
    pub(crate) http: SocketAddr,
    health: SocketAddr,
    variables: Vec<(String, String)>,
    addition: Option<PathBuf>,
    gate: bool,
    child: Option<Child>,
}

impl Otelcol {
    /// Returns a collector with a shipped configuration, not yet started.
    pub(crate) fn new(binary: &Path, configuration_name: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        let (http, health) = (free(), free());
        let new = Self {
            binary: binary.to_owned(),
            configuration: configuration(configuration_name),
            http,
            health,
            variables: Vec::new(),
            addition: None,
            gate: true,
            child: None,
            state,
        };
        let state = new.state.path().display().to_string();
        new.with("COLLECTOR_OTLP_HTTP", http.to_string())
            .with("COLLECTOR_OTLP_GRPC", free().to_string())
            .with("COLLECTOR_HEALTH", health.to_string())
            .with("COLLECTOR_METRICS_PORT", free().port().to_string())
            .with("COLLECTOR_STATE", state)
            .with("COLLECTOR_FLUSH", "50ms")
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a second configuration file, whose values replace those of the first.
    pub(crate) fn with_addition(mut self, text: &str) -> Self {
        let path = self.state.path().join("addition.yaml");
        std::fs::write(&path, text).unwrap();
        self.addition = Some(path);
        self
    }

    pub(crate) fn without_gate(mut self) -> Self {
        self.gate = false;
        self
    }

    pub(crate) fn started(mut self) -> Self {
        self.start();
        self
    }

    /// Starts it and waits until its health endpoint answers.
    pub(crate) fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let mut command = Command::new(&self.binary);
        command
            .arg("--config")
            .arg(&self.configuration)
            .args(self.addition.iter().flat_map(|path| [OsStr::new("--config"), path.as_os_str()]))
            // It gets no variable of this shell, not even a home directory.
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.state.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        if self.gate {
            command.arg(GATE);
        }
        self.child = Some(command.spawn().unwrap());
        let until = Instant::now() + PATIENCE;
        while client::get(self.health, "/") != Some(200) {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the collector ended: {ended:?}");
            assert!(Instant::now() < until, "the collector does not say that it runs");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Returns its process id while it runs.
    pub(crate) fn process(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Stops it as an operator does, so that it delivers what it can.
    pub(crate) fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let until = Instant::now() + PATIENCE;
        while child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "the collector does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn log(&self) -> PathBuf {
        self.state.path().join("otelcol.log")
    }
}

impl Drop for Otelcol {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            let from = log.len().saturating_sub(8000);
            eprintln!("the end of the collector's log:\n{}", log.get(from..).unwrap_or(&log));
        }
    }
}
