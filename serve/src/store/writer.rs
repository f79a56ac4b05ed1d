//! The thread that writes: one batch for the messages of many requests, because a sync costs as much for one message as
//! for a thousand.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::watch;

use super::Clock;
use super::core::{Core, Kept, Trouble};
use super::queue::{Keep, Next, Queue};

/// Time without a message after which the projection is brought up to date.
const IDLE: Duration = Duration::from_millis(50);
/// The projection is brought up to date at the latest after this time, or this number of messages. They change rows all
/// over the file, so more messages at once cost fewer pages each.
const BEHIND: (Duration, usize) = (Duration::from_secs(1), 16_000);

/// The thread's state.
struct Writer {
    core: Core,
    clock: Clock,
    /// Set once nothing may be promised any more.
    stopped: watch::Sender<Option<String>>,
    /// Whether the last batch could not be written. Logs the change only.
    failing: bool,
    /// The time of the oldest message that is not in the projection.
    since: Option<Instant>,
}

/// Starts the thread. It ends when the queue is closed; the projection is then up to date.
pub(crate) fn start(
    core: Core,
    queue: Arc<Queue>,
    clock: Clock,
    stopped: watch::Sender<Option<String>>,
) -> anyhow::Result<std::thread::JoinHandle<()>> {
    let mut writer = Writer { core, clock, stopped, failing: false, since: None };
    std::thread::Builder::new()
        .name("store".to_owned())
        .spawn(move || {
            let queue = Abandoned(queue);
            writer.run(&queue.0);
        })
        .context("no thread can be started: raise the limit on processes")
}

/// Leaves no caller waiting when the thread ends, also by a panic.
struct Abandoned(Arc<Queue>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl Writer {
    fn run(&mut self, queue: &Queue) {
        loop {
            match queue.next(self.since.is_some().then_some(IDLE)) {
                Next::Batch(batch) => {
                    self.keep(batch);
                    if self.is_far_behind() {
                        self.project();
                    }
                }
                Next::Run(run) => {
                    self.project();
                    run(&mut self.core);
                }
                Next::Idle => self.project(),
                Next::End => break,
            }
        }
        self.project();
    }

    /// Writes one batch, and answers its requests.
    #[expect(
        clippy::disallowed_methods,
        reason = "the age of what waits, which no test depends on"
    )]
    fn keep(&mut self, requests: Vec<Keep>) {
        self.since = self.since.or_else(|| Some(Instant::now()));
        let (mut batch, mut replies) = (Vec::new(), Vec::with_capacity(requests.len()));
        for (mut messages, reply) in requests {
            batch.append(&mut messages);
            replies.push(reply);
        }
        let safe = self.write(batch);
        for reply in replies {
            // The sender may have gone.
            let _ = reply.send(safe);
        }
    }

    fn write(&mut self, batch: Vec<Kept>) -> bool {
        if self.stopped.borrow().is_some() {
            return false;
        }
        match self.core.append(batch) {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!("messages are kept again");
                }
                true
            }
            Err(Trouble::Passing(error)) => {
                if !std::mem::replace(&mut self.failing, true) {
                    let remedy = match self.core.spool {
                        Some(_) => "mend ClickHouse, and make room on the disk",
                        None => "make room on the disk",
                    };
                    tracing::error!(%error, "messages cannot be kept, and senders are asked to wait: {remedy}");
                }
                false
            }
            Err(Trouble::Fatal(error)) => {
                self.stop(&error);
                false
            }
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the age of what waits, which no test depends on"
    )]
    fn is_far_behind(&self) -> bool {
        let (age, most) = BEHIND;
        let now = Instant::now();
        self.core.pending() >= most
            || self.since.is_some_and(|since| now.saturating_duration_since(since) >= age)
    }

    fn project(&mut self) {
        self.since = None;
        if self.stopped.borrow().is_some() {
            return;
        }
        if let Err(error) = self.core.project((self.clock)()) {
            tracing::error!(%error, "the tables of the report cannot be written; it is tried again with the next message");
        }
    }

    /// Ends all writing, because the disk may not hold what it was told to hold.
    fn stop(&mut self, error: &rusqlite::Error) {
        let why = format!(
            "the file cannot be trusted any more ({error}): look at the disk, then start again; \
             `otel-usage serve check` says what is lost"
        );
        tracing::error!("{why}");
        self.stopped.send_replace(Some(why));
    }
}
