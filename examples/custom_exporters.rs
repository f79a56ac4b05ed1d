//! An exporter of the engine's own: it queues messages and sends them to a place that may be unavailable.
//!
//! The exporter shows the whole contract of [`Exporter`]. `export` only puts a message into a bounded queue
//! and returns [`Outcome::Queued`], because a slow send would delay the other exporters. `send_queued` asks
//! consent before each message, sends it, and accounts for it. So `flush` and `stats` treat this exporter
//! like a built-in one.
//!
//! ```sh
//! cargo run --example custom_exporters
//! ```
//!
//! An operator chooses among the built-in exporters without any code, see `docs/operator/configuration.md`.

#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use otel_usage::export::{ExportRecord, Exporter, Loss, Outcome, Turn};
use otel_usage::schema::vllm;
use otel_usage::settings::Env;
use otel_usage::{Flush, Usage};
use otel_usage_testing::sample;

/// Longest queue. A further message is dropped and counted, because memory must stay bounded.
const QUEUE: usize = 100;

/// Pause after a failed attempt.
const PAUSE: Duration = Duration::from_secs(30);

/// Puts messages on a message bus.
#[derive(Debug)]
struct BusExporter {
    bus: Bus,
    queue: VecDeque<String>,
    /// Time of the next attempt after a failed one.
    retry: Option<Instant>,
}

impl Exporter for BusExporter {
    fn name(&self) -> &str {
        "bus"
    }

    /// The bus is on another machine, so every message needs the operator's consent.
    fn is_network(&self) -> bool {
        true
    }

    /// The notice shows this to the user before the first message leaves.
    fn destination(&self) -> String {
        "bus://usage".to_owned()
    }

    fn export(&mut self, record: &ExportRecord) -> Outcome {
        // The span of the whole run has no flat message.
        let Some(message) = record.message() else { return Outcome::Ignored };
        if self.queue.len() >= QUEUE {
            return Outcome::Dropped(Loss::QueueFull);
        }
        self.queue.push_back(message.to_json());
        Outcome::Queued
    }

    fn send_queued(&mut self, turn: &mut Turn<'_>) -> Option<Instant> {
        // An engine that flushes does not want to wait for the pause to end.
        if let Some(retry) = self.retry.filter(|retry| turn.now() < *retry && !turn.is_urgent()) {
            return Some(retry);
        }
        self.retry = None;
        while let Some(message) = self.queue.front() {
            if !turn.may_send() {
                // Consent was withdrawn. The library now calls `discard_queued` and counts the rest.
                return None;
            }
            if self.bus.send(message).is_err() {
                // The message stays in the queue and counts as queued.
                self.retry = turn.now().checked_add(PAUSE);
                break;
            }
            self.queue.pop_front();
            turn.delivered();
            if turn.now() >= turn.until() {
                // Other exporters wait. The library calls again at once.
                return Some(turn.now());
            }
        }
        self.retry
    }

    fn discard_queued(&mut self) {
        self.queue.clear();
    }
}

/// Stands for the client of a message bus. Its first send fails.
#[derive(Debug)]
struct Bus {
    topic: Sender<String>,
    is_up: bool,
}

impl Bus {
    fn send(&mut self, message: &str) -> io::Result<()> {
        if !std::mem::replace(&mut self.is_up, true) {
            return Err(io::Error::other("the bus is unavailable"));
        }
        self.topic.send(message.to_owned()).map_err(io::Error::other)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (topic, messages): (_, Receiver<String>) = channel();
    let home = tempfile::tempdir()?;
    let usage = Usage::builder(&vllm::CURRENT)
        .with_sample_data()
        .with_environment(Env::given([
            ("HOME", home.path().display().to_string()),
            ("OTEL_USAGE_MODE", "on".to_owned()),
        ]))
        .with_version("0.33.0")
        .with_accelerators(sample::accelerators())
        // No built-in exporter, only our own.
        .with_exporters([])
        .with_exporter(BusExporter {
            bus: Bus { topic, is_up: false },
            queue: VecDeque::new(),
            retry: None,
        })
        .try_init()?;

    usage.record(sample::vllm_report());
    // The bus refuses the first message, which waits in the exporter's queue.
    println!("first flush: {:?}", usage.flush(Duration::from_secs(1)));
    // Each flush skips the pause once.
    assert_eq!(usage.flush(Duration::from_secs(5)), Flush::Settled);
    for exporter in usage.stats().exporters {
        println!("{}: {} delivered, {} queued", exporter.name, exporter.delivered, exporter.queued);
    }
    println!("on the bus: {}", messages.recv_timeout(Duration::from_secs(1))?);
    usage.finish();
    Ok(())
}
