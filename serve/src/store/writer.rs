//! The thread that writes. It gathers the messages of many requests into one batch, because a sync costs as much for
//! one message as for a thousand.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::{oneshot, watch};

use super::Clock;
use super::core::{Core, Kept, Trouble};

/// Longest time for which the first message of a batch waits for others.
const GATHER: Duration = Duration::from_millis(20);
/// Messages after which a batch waits for no others.
const BATCH: usize = 1_000;
/// Time without a message after which the projection is brought up to date.
const IDLE: Duration = Duration::from_millis(50);
/// The projection is brought up to date at the latest after this time, or this number of messages.
const BEHIND: (Duration, usize) = (Duration::from_secs(1), 4_000);
/// Requests that wait for the thread. The front door allows fewer.
const QUEUE: usize = 8_192;

/// What the thread is asked for.
pub(crate) enum Job {
    /// To keep the messages of a request. The answer is whether they are safe.
    Keep(Vec<Kept>, oneshot::Sender<bool>),
    /// To do something with the file.
    Run(Run),
}

/// Something to do with the file.
pub(crate) type Run = Box<dyn FnOnce(&mut Core) + Send>;

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

/// Starts the thread. It ends when the last sender is gone; the projection is then up to date.
pub(crate) fn start(
    core: Core,
    clock: Clock,
    stopped: watch::Sender<Option<String>>,
) -> anyhow::Result<(SyncSender<Job>, std::thread::JoinHandle<()>)> {
    let (jobs, queue) = sync_channel(QUEUE);
    let mut writer = Writer { core, clock, stopped, failing: false, since: None };
    let thread = std::thread::Builder::new()
        .name("store".to_owned())
        .spawn(move || writer.run(&queue))
        .context("no thread can be started: raise the limit on processes")?;
    Ok((jobs, thread))
}

impl Writer {
    fn run(&mut self, queue: &Receiver<Job>) {
        loop {
            let next = if self.since.is_some() {
                queue.recv_timeout(IDLE)
            } else {
                queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match next {
                Ok(Job::Run(run)) => {
                    self.project();
                    run(&mut self.core);
                }
                Ok(Job::Keep(messages, reply)) => {
                    let run = self.gather(queue, messages, reply);
                    if let Some(run) = run {
                        self.project();
                        run(&mut self.core);
                    } else if self.is_far_behind() {
                        self.project();
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.project(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.project();
    }

    /// Writes one batch. Returns the job that ended the gathering, if it is another one.
    #[expect(clippy::disallowed_methods, reason = "the time of a batch, which no test depends on")]
    fn gather(
        &mut self,
        queue: &Receiver<Job>,
        messages: Vec<Kept>,
        reply: oneshot::Sender<bool>,
    ) -> Option<Run> {
        let began = Instant::now();
        self.since = self.since.or(Some(began));
        let (mut batch, mut replies, mut other) = (messages, vec![reply], None);
        while batch.len() < BATCH {
            match queue.recv_timeout(GATHER.saturating_sub(began.elapsed())) {
                Ok(Job::Keep(more, reply)) => {
                    batch.extend(more);
                    replies.push(reply);
                }
                Ok(Job::Run(run)) => {
                    other = Some(run);
                    break;
                }
                Err(_) => break,
            }
        }
        let safe = self.write(batch);
        for reply in replies {
            // The sender may have gone.
            let _ = reply.send(safe);
        }
        other
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
                    tracing::error!(%error, "messages cannot be kept, and senders are asked to wait: make room on the disk");
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
