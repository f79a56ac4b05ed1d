//! The configuration of a bridge: listeners, contracts, exporters, and limits.
//!
//! [`Bridge::bind`](crate::Bridge::bind) checks it as a whole.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use otel_usage_schema::{Consent, Contract, Decision};

use crate::proxies::Network;
use crate::store::Store;

/// The configuration of a bridge.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Addresses to listen on. Each serves OTLP over HTTP and over gRPC.
    pub listen: Vec<SocketAddr>,
    /// Contracts beside the built-in ones. A contract with the id of a built-in one replaces it.
    pub contracts: Vec<Contract>,
    /// The exporters.
    pub exporters: Exporters,
    /// Usage servers by contract id or system (`vllm/current`, `vllm`). They win over the operator's
    /// variable, which wins over the contract.
    pub servers: Vec<(String, String)>,
    /// The operator of this machine, which decides on consent. The default allows nothing.
    pub operator: Arc<dyn Operator>,
    /// Whether to post records that the engine has posted itself.
    pub forward_direct: bool,
    /// Whether flat messages are taken, by POST at every path that has no other use. Unmodified engines send them.
    pub flat_posts: bool,
    /// The peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// Answers GET and HEAD at every path that has no other use.
    pub site: Option<axum::Router>,
    /// Whether `/metrics` is among the paths.
    pub metrics: bool,
    /// Limits that keep one sender from hurting the others.
    pub limits: Limits,
}

/// The operator of the machine on which the bridge runs.
///
/// The host of the bridge implements it, so that the bridge itself knows no switch.
pub trait Operator: std::fmt::Debug + Send + Sync {
    /// Returns the decision on `contract` as it is now. It is asked again while the bridge runs.
    fn decision(&self, contract: &Contract) -> Decision;

    /// Returns the usage server that the operator names for `contract`, with the variable that names it.
    fn server(&self, contract: &Contract) -> Option<(String, String)>;
}

/// Returns a variable of this process that says how to reach a server. A value that is not UTF-8 keeps its
/// readable part, so that it is a mistake and not unset.
pub(crate) fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "once, when the bridge starts")]
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// The operator of a configuration that names none.
#[derive(Debug)]
struct NotAsked;

impl Operator for NotAsked {
    fn decision(&self, _: &Contract) -> Decision {
        Decision { consent: Consent::Off, because: "the host did not ask the operator".to_owned() }
    }

    fn server(&self, _: &Contract) -> Option<(String, String)> {
        None
    }
}

/// The exporters of the bridge.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Exporters {
    /// One POST a message to the contract's usage server.
    pub server: bool,
    /// JSON lines in a file.
    pub file: Option<FileExporter>,
    /// JSON lines on standard output.
    pub console: bool,
    /// A store in this process.
    pub store: Option<Arc<dyn Store>>,
    /// Makes messages and discards them. For measurements only; the command has no such exporter.
    pub discard: bool,
}

/// A file of JSON lines that belongs to this process alone.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FileExporter {
    /// The path; older files get `.1`, `.2` and so on behind it.
    pub path: PathBuf,
    /// Size in bytes after which a new file begins.
    pub rotate_bytes: u64,
    /// Number of older files that are kept.
    pub keep: u32,
}

/// Limits that keep one sender from hurting the others.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Largest request as it arrives.
    pub body_bytes: usize,
    /// Largest request after decompression.
    pub decoded_bytes: usize,
    /// Memory for all requests at once, from their first byte to their delivery. Unit: bytes.
    pub memory: usize,
    /// Open connections. A further one takes the place of the one that has been quiet for the longest time.
    pub connections: usize,
    /// Requests in progress; further ones are answered "later".
    pub requests: usize,
    /// POSTs in flight to all usage servers together.
    pub posts: usize,
    /// Time for the head of a request, again for its body, and for a connection without a request.
    pub read: Duration,
    /// Time for one POST, connection included.
    pub post: Duration,
    /// Time to deliver all records of one request; then the rest is answered "later".
    pub deliver: Duration,
    /// Time to finish the requests in progress when the process is asked to stop.
    pub drain: Duration,
    /// Delivered records that are remembered, so that a repeated request sends none twice.
    pub window: usize,
    /// Time for which delivered records are remembered.
    pub window_age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // OTLP recommends this limit to receivers.
            body_bytes: 64 << 20,
            decoded_bytes: 64 << 20,
            // One request of the largest size, with the messages that are made of it.
            memory: 256 << 20,
            connections: 1024,
            requests: 64,
            posts: 64,
            // Together with `deliver` below the 30 s after which a collector's exporter gives up.
            read: Duration::from_secs(8),
            post: Duration::from_secs(5),
            deliver: Duration::from_secs(20),
            drain: Duration::from_secs(25),
            // About 100 bytes each.
            window: 100_000,
            window_age: Duration::from_secs(3600),
        }
    }
}

impl Default for Config {
    /// Returns a configuration that listens on the two ports of OTLP on the loopback. It has no exporter, and
    /// a bridge needs one to start.
    fn default() -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            listen: vec![local(4318), local(4317)],
            contracts: Vec::new(),
            exporters: Exporters::default(),
            servers: Vec::new(),
            operator: Arc::new(NotAsked),
            forward_direct: false,
            flat_posts: false,
            trusted_proxies: Vec::new(),
            site: None,
            metrics: true,
            limits: Limits::default(),
        }
    }
}

impl FileExporter {
    /// Returns an exporter to `path` that rotates at 100 MiB and keeps five older files.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), rotate_bytes: 100 << 20, keep: 5 }
    }
}

impl Exporters {
    /// Returns whether there is no exporter.
    pub(crate) const fn is_empty(&self) -> bool {
        !self.server
            && self.file.is_none()
            && !self.console
            && self.store.is_none()
            && !self.discard
    }
}
