//! The queue before the thread that writes. The thread is woken once for a whole batch, because waking it for each
//! message would cost more than the message.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::core::{Core, Kept};

/// Longest time for which the first message of a batch waits for others.
const GATHER: Duration = Duration::from_millis(20);
/// Messages after which a batch waits for no others.
const BATCH: usize = 1_000;
/// Requests that wait for the thread. The front door allows fewer.
const MOST: usize = 8_192;

/// Something to do with the file.
pub(crate) type Run = Box<dyn FnOnce(&mut Core) + Send>;

/// The messages of one request. The answer is whether they are safe.
pub(crate) type Keep = (Vec<Kept>, oneshot::Sender<bool>);

/// The next job of the thread.
pub(crate) enum Next {
    /// It writes one batch.
    Batch(Vec<Keep>),
    /// It does something else with the file.
    Run(Run),
    /// Nothing came for the time given.
    Idle,
    /// The queue is closed and empty.
    End,
}

/// A queue with one reader.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// Number of messages in `jobs`.
    messages: usize,
    /// The time at which the first message came.
    since: Option<Instant>,
    closed: bool,
}

enum Job {
    Keep(Keep),
    Run(Run),
}

impl Queue {
    /// Adds the messages of a request. Returns `false` if there is no room, or if the queue is closed.
    #[expect(clippy::disallowed_methods, reason = "the age of a batch, which no test depends on")]
    pub(crate) fn keep(&self, messages: Vec<Kept>, reply: oneshot::Sender<bool>) -> bool {
        let mut waiting = self.lock();
        if waiting.closed || waiting.jobs.len() >= MOST {
            return false;
        }
        let before = waiting.messages;
        waiting.messages = before.saturating_add(messages.len());
        waiting.since = waiting.since.or_else(|| Some(Instant::now()));
        waiting.jobs.push_back(Job::Keep((messages, reply)));
        // The thread waits for the first message, and then for a full batch.
        if before == 0 || (before < BATCH && waiting.messages >= BATCH) {
            self.changed.notify_one();
        }
        true
    }

    /// Adds something else to do. There is always room for it, because only this program asks for it.
    pub(crate) fn run(&self, run: Run) -> bool {
        let mut waiting = self.lock();
        if !waiting.closed {
            waiting.jobs.push_back(Job::Run(run));
            self.changed.notify_one();
        }
        !waiting.closed
    }

    /// Takes nothing more. The rest of the queue is still done.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Takes nothing more, and drops what waits, so that its senders are answered: there is no thread that does it.
    pub(crate) fn abandon(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        let jobs = std::mem::take(&mut waiting.jobs);
        drop(waiting);
        drop(jobs);
    }

    /// Waits for what comes next, if `idle` is given no longer than that.
    #[expect(clippy::disallowed_methods, reason = "the age of a batch, which no test depends on")]
    pub(crate) fn next(&self, idle: Option<Duration>) -> Next {
        let nothing = |waiting: &mut Waiting| waiting.jobs.is_empty() && !waiting.closed;
        let waiting = self.lock();
        let mut waiting = match idle {
            Some(idle) => {
                let waited = self.changed.wait_timeout_while(waiting, idle, nothing);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => {
                self.changed.wait_while(waiting, nothing).unwrap_or_else(PoisonError::into_inner)
            }
        };
        match waiting.jobs.front() {
            None if waiting.closed => return Next::End,
            None => return Next::Idle,
            Some(Job::Run(_)) => {
                if let Some(Job::Run(run)) = waiting.jobs.pop_front() {
                    return Next::Run(run);
                }
            }
            Some(Job::Keep(_)) => {}
        }
        let age = waiting.since.map_or(GATHER, |since| since.elapsed());
        let gathers = |waiting: &mut Waiting| {
            let runs = matches!(waiting.jobs.back(), Some(Job::Run(_)));
            waiting.messages < BATCH && !waiting.closed && !runs
        };
        let waited = self.changed.wait_timeout_while(waiting, GATHER.saturating_sub(age), gathers);
        let mut waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        let (mut batch, mut messages) = (Vec::new(), 0_usize);
        while messages < BATCH {
            match waiting.jobs.pop_front() {
                Some(Job::Keep(keep)) => {
                    messages = messages.saturating_add(keep.0.len());
                    batch.push(keep);
                }
                Some(run @ Job::Run(_)) => {
                    waiting.jobs.push_front(run);
                    break;
                }
                None => break,
            }
        }
        waiting.messages = waiting.messages.saturating_sub(messages);
        // A message after another job waits for its own time.
        waiting.since = (waiting.messages > 0).then(Instant::now);
        Next::Batch(batch)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
