//! What the bridge is told: where it listens, what it knows, where it delivers, and its limits.
//!
//! In: the command line, or a program that hosts the bridge. Out: a [`Config`] that
//! [`Bridge::bind`](crate::Bridge::bind) checks as a whole.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use otel_usage::{Contract, Env};

/// Everything the bridge is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Addresses to listen on. Each serves OTLP over HTTP and over gRPC.
    pub listen: Vec<SocketAddr>,
    /// Contracts beside the built-in ones; one with the id of a built-in contract replaces it.
    pub contracts: Vec<Contract>,
    /// Where flat messages go.
    pub sinks: Sinks,
    /// Usage servers by contract id or system (`vllm/current`, `vllm`); each wins over the
    /// environment, which wins over the contract.
    pub servers: Vec<(String, String)>,
    /// The environment: usage servers and the switches of this machine. `None`: this process's.
    pub environment: Option<Env>,
    /// Post also what the engine has posted itself.
    pub forward_direct: bool,
    /// What keeps one sender from hurting the others.
    pub limits: Limits,
}

/// Where flat messages go.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Sinks {
    /// One POST a message to the contract's usage server.
    pub server: bool,
    /// JSON lines in a file.
    pub file: Option<FileSink>,
    /// JSON lines on standard output.
    pub console: bool,
    /// Nowhere: messages are made and thrown away. For measurements, not on the command line.
    pub discard: bool,
}

/// A file of JSON lines that belongs to this process alone.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FileSink {
    /// Its path; older files get `.1`, `.2` and so on behind it.
    pub path: PathBuf,
    /// It is put aside before the write that would make it larger than this.
    pub rotate_bytes: u64,
    /// How many older files are kept.
    pub keep: u32,
}

/// What keeps one sender from hurting the others.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Largest request as it arrives.
    pub body_bytes: usize,
    /// Largest request after decompression.
    pub decoded_bytes: usize,
    /// Open connections; further ones wait in the listener's backlog.
    pub connections: usize,
    /// Requests at work; further ones are answered "later".
    pub requests: usize,
    /// POSTs in flight to all usage servers together.
    pub posts: usize,
    /// Time for the head of a request, and again for its body.
    pub read: Duration,
    /// Time for one POST, connection included.
    pub post: Duration,
    /// Time to deliver all records of one request; then the rest is answered "later".
    pub deliver: Duration,
    /// Time to finish what is at work when the process is asked to stop.
    pub drain: Duration,
    /// Delivered records that are remembered, so that a repeated request sends none twice.
    pub window: usize,
    /// How long they are remembered.
    pub window_age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // The collector's own limit for OTLP is 20 MiB; a batch of 1,000 reports has 1.2 MiB.
            body_bytes: 4 << 20,
            decoded_bytes: 16 << 20,
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
    /// Listens on the two ports of OTLP, on the loopback; no sink, so it does not start like this.
    fn default() -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            listen: vec![local(4318), local(4317)],
            contracts: Vec::new(),
            sinks: Sinks::default(),
            servers: Vec::new(),
            environment: None,
            forward_direct: false,
            limits: Limits::default(),
        }
    }
}

impl FileSink {
    /// JSON lines in `path`, in files of 100 MiB, the last five of which are kept.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), rotate_bytes: 100 << 20, keep: 5 }
    }
}

impl Sinks {
    /// Whether there is any.
    pub(crate) const fn is_empty(&self) -> bool {
        !self.server && self.file.is_none() && !self.console && !self.discard
    }
}
