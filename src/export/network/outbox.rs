//! A bounded queue of requests, sent in order and retried with backoff.
//!
//! Requests of one exporter go out in the order in which they were made, because LMCache's receiver
//! expects that.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use otel_usage_schema::Loss;
use uuid::Uuid;

use super::client::{Answer, Client, Request};
use crate::export::{Outcome, Turn};

/// Most requests that wait: a start message and more than two hours of heartbeats.
const QUEUE: usize = 16;

/// Most bytes that wait.
const QUEUE_BYTES: usize = 256 * 1024;

/// Pauses between attempts double from one second to five minutes, each plus a random part of itself.
/// After the last retry the request is lost. All pauses together take 13 to 27 minutes; longer outages
/// need a durable queue.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
const RETRIES: usize = 10;

/// Longest `Retry-After` that is obeyed. A request whose server asks for more is lost.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(super) struct Outbox {
    client: Client,
    waiting: VecDeque<Request>,
    bytes: usize,
    /// The pauses that are left for the first request. `None` until it was tried.
    pauses: Option<ExponentialBackoff>,
    not_before: Option<Instant>,
}

impl Outbox {
    pub(super) const fn new(client: Client) -> Self {
        Self { client, waiting: VecDeque::new(), bytes: 0, pauses: None, not_before: None }
    }

    /// Queues a request, unless the queue is full.
    pub(super) fn push(&mut self, request: Request) -> Outcome {
        let bytes = self.bytes.saturating_add(request.body.len());
        if self.waiting.len() >= QUEUE || bytes > QUEUE_BYTES {
            return Outcome::Dropped(Loss::QueueFull);
        }
        self.bytes = bytes;
        self.waiting.push_back(request);
        Outcome::Queued
    }

    /// Forgets everything that waits.
    pub(super) fn discard(&mut self) {
        self.waiting.clear();
        self.bytes = 0;
        self.pauses = None;
        self.not_before = None;
    }

    /// Sends one request after another, until the queue is empty, a request has to pause, or the turn
    /// ends. Returns the time of the next attempt.
    pub(super) fn send(&mut self, turn: &mut Turn<'_>) -> Option<Instant> {
        let mut urgent = turn.is_urgent();
        while let Some(request) = self.waiting.front() {
            let now = turn.now();
            if let Some(due) = self.not_before
                && now < due
                && !urgent
            {
                return Some(due);
            }
            if now >= turn.until() {
                return Some(now);
            }
            if !turn.may_send() {
                return None;
            }
            urgent = false;
            match self.client.post(request, turn.unix_nanos(), turn.limit()) {
                Answer::Delivered => {
                    turn.delivered();
                    self.pop();
                }
                Answer::Refused => {
                    turn.dropped(Loss::Refused);
                    self.pop();
                }
                Answer::Later(asked) => match self.pause(asked) {
                    Some(pause) => {
                        self.not_before = turn.now().checked_add(pause);
                        return self.not_before;
                    }
                    None => {
                        turn.dropped(Loss::Expired);
                        self.pop();
                    }
                },
            }
        }
        None
    }

    /// Returns the pause before the next attempt, or `None` if the request is lost.
    fn pause(&mut self, asked: Option<Duration>) -> Option<Duration> {
        let pause = self.pauses.get_or_insert_with(|| pauses(seed())).next()?;
        match asked {
            Some(asked) if asked > LONGEST_RETRY_AFTER => None,
            // Added, because a server asks the whole fleet for the same time.
            Some(asked) => Some(asked.saturating_add(pause)),
            None => Some(pause),
        }
    }

    fn pop(&mut self) {
        if let Some(request) = self.waiting.pop_front() {
            self.bytes = self.bytes.saturating_sub(request.body.len());
        }
        self.pauses = None;
        self.not_before = None;
    }
}

/// Returns a random number, without which all engines would try again at the same moment.
///
/// `backon` has a random seed only with its feature `std`.
fn seed() -> u64 {
    let (high, low) = Uuid::new_v4().as_u64_pair();
    high ^ low
}

fn pauses(seed: u64) -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_max_times(RETRIES)
        .with_jitter()
        .with_jitter_seed(seed)
        .build()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_fleet_spreads_its_retries() {
        let schedules: Vec<Vec<Duration>> = (0..200).map(|_| pauses(seed()).collect()).collect();
        for attempt in 0..RETRIES {
            let pauses: Vec<_> =
                schedules.iter().map(|pauses| pauses[attempt].as_millis()).collect();
            let different: BTreeSet<_> = pauses.iter().collect();
            assert!(different.len() > 100, "attempt {attempt}: {}", different.len());
            let (first, last) = (pauses.iter().min().unwrap(), pauses.iter().max().unwrap());
            assert!(last - first > 500, "attempt {attempt}: {first} to {last} ms");
            assert!(*last <= 2 * LONGEST_PAUSE.as_millis(), "{last}");
        }
    }
}
