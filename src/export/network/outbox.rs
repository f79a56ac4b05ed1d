//! A bounded queue of requests, sent in order and retried with backoff.
//!
//! Requests of one exporter go out in the order in which they were made, because LMCache's receiver
//! expects that. While they can be delivered, they are in memory only. After a failed attempt all that wait are
//! on disk too, until a delivery succeeds.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use otel_usage_schema::Loss;
use uuid::Uuid;

use super::client::{Answer, Client, Request};
use super::ledger::Ledger;
use super::seconds;
use crate::cutoff::Cutoff;
use crate::export::{Outcome, Turn};
use crate::spool::{Entry, Spool};

/// Most requests that wait: a start message, the newest heartbeat and the messages of two intervals.
const QUEUE: usize = 16;

/// Most bytes that wait.
const QUEUE_BYTES: usize = 256 * 1024;

/// Pauses between attempts double from one second to five minutes, each plus a random part of itself.
/// After the last retry a request in memory is lost: all pauses together take 13 to 27 minutes. One on disk is
/// tried at the longest pause until it is too late for it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
const RETRIES: usize = 10;

/// Longest `Retry-After` that is obeyed. A request in memory whose server asks for more is lost; one on disk
/// waits this long.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Time between two looks for messages of processes that ended. It is that between two heartbeats, which wake
/// the worker anyway.
const LOOK: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct Outbox {
    client: Client,
    ledger: Ledger,
    spool: Option<Spool>,
    cutoff: Cutoff,
    waiting: VecDeque<Request>,
    bytes: usize,
    /// The pauses that are left for the first request. `None` until it was tried.
    pauses: Option<ExponentialBackoff>,
    not_before: Option<Instant>,
    /// The time of the next look for messages of processes that ended. `None` before the first look.
    look: Option<Instant>,
    /// Whether the last look left processes that ended.
    more: bool,
    /// Messages that newer ones replaced since the last turn.
    replaced: u64,
}

impl Outbox {
    /// Makes an empty outbox. The disk is not touched.
    pub(super) const fn new(
        client: Client,
        ledger: Ledger,
        spool: Option<Spool>,
        cutoff: Cutoff,
    ) -> Self {
        Self {
            client,
            ledger,
            spool,
            cutoff,
            waiting: VecDeque::new(),
            bytes: 0,
            pauses: None,
            not_before: None,
            look: None,
            more: false,
            replaced: 0,
        }
    }

    /// Queues a request, unless the queue is full.
    pub(super) fn push(&mut self, mut request: Request) -> Outcome {
        let entry = &request.entry;
        // While the server answers, each is sent.
        if entry.newest_only && self.pauses.is_some() {
            let old =
                |other: &Request| other.entry.newest_only && other.entry.address == entry.address;
            // The pause that the server asked for stays, if it was the first one.
            if let Some(place) = self.waiting.iter().position(old) {
                self.take(place);
                self.replaced = self.replaced.saturating_add(1);
            }
        }
        let bytes = self.bytes.saturating_add(request.entry.body.len());
        if self.waiting.len() >= QUEUE || bytes > QUEUE_BYTES {
            return Outcome::Dropped(Loss::QueueFull);
        }
        self.bytes = bytes;
        request.mark = self.cutoff.mark();
        self.waiting.push_back(request);
        Outcome::Queued
    }

    /// Forgets everything that waits, also on disk.
    pub(super) fn discard(&mut self) {
        while self.take(0).is_some() {}
        self.pauses = None;
        self.not_before = None;
        self.replaced = 0;
    }

    /// Sends one request after another, until the queue is empty, a request has to pause, or the turn
    /// ends. Returns the time of the next attempt. `next` makes the next request of a process that ended.
    pub(super) fn send(
        &mut self,
        turn: &mut Turn<'_>,
        next: impl Fn(&mut Spool, i64) -> Option<Request>,
    ) -> Option<Instant> {
        // Before the disk, because an opt-out deletes what is there and reads none of it.
        if !turn.may_send() {
            self.purge();
            return None;
        }
        for _ in 0..std::mem::take(&mut self.replaced) {
            turn.dropped(Loss::Expired);
        }
        self.drop_withdrawn(turn);
        self.drop_late(turn);
        self.look(turn);
        if self.pauses.is_some() {
            self.save(turn);
        }
        let result = self.attempt(turn, next);
        self.count_losses(turn);
        result
    }

    fn attempt(
        &mut self,
        turn: &mut Turn<'_>,
        next: impl Fn(&mut Spool, i64) -> Option<Request>,
    ) -> Option<Instant> {
        let mut urgent = turn.is_urgent();
        loop {
            if self.waiting.is_empty() {
                let spool = self.spool.as_mut()?;
                let time = seconds(turn.unix_nanos());
                let mark = self.cutoff.mark();
                let mut request = loop {
                    if let Some(request) = next(spool, time) {
                        break request;
                    }
                    if !self.more {
                        return None;
                    }
                    self.more = spool.adopt(time).unwrap_or(false);
                };
                let age = time.saturating_sub(request.entry.time).max(0).unsigned_abs();
                let left = u64::from(request.entry.lifetime).saturating_sub(age);
                request.late_at = turn.now().checked_add(Duration::from_secs(left));
                request.mark = mark;
                self.bytes = self.bytes.saturating_add(request.entry.body.len());
                self.waiting.push_back(request);
                turn.taken_over();
                turn.set_spooled(self.on_disk());
            }
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
                self.purge();
                return None;
            }
            urgent = false;
            self.drop_withdrawn(turn);
            if self.waiting.is_empty() {
                continue;
            }
            let request = self.waiting.front()?;
            let mut attempt = self.ledger.begin(request, turn);
            let (time, limit) = (turn.unix_nanos(), turn.limit());
            let answer = self.client.post(request, time, limit, &mut attempt.status);
            self.ledger.end(attempt, &answer, turn);
            match answer {
                Answer::Delivered => {
                    self.pop(turn);
                    turn.delivered();
                }
                Answer::Refused => {
                    self.pop(turn);
                    turn.dropped(Loss::Refused);
                }
                Answer::Later(asked) => {
                    self.save(turn);
                    match self.pause(asked) {
                        Some(pause) => {
                            self.not_before = turn.now().checked_add(pause);
                            return self.not_before;
                        }
                        None => {
                            self.pop(turn);
                            turn.dropped(Loss::Expired);
                        }
                    }
                }
            }
        }
    }

    /// Returns the pause before the next attempt, or `None` if the request is lost.
    fn pause(&mut self, asked: Option<Duration>) -> Option<Duration> {
        let durable = self.waiting.front().is_some_and(|request| request.file.is_some());
        let next = self.pauses.get_or_insert_with(|| pauses(seed())).next();
        let pause = match next {
            None if durable => pauses(seed()).last(),
            next => next,
        }?;
        match asked {
            Some(asked) if asked > LONGEST_RETRY_AFTER && !durable => None,
            // Added, because a server asks the whole fleet for the same time.
            Some(asked) => Some(asked.min(LONGEST_RETRY_AFTER).saturating_add(pause)),
            None => Some(pause),
        }
    }

    /// Writes to disk what waits and is not there yet. What cannot be written waits in memory.
    fn save(&mut self, turn: &mut Turn<'_>) {
        let Some(spool) = &mut self.spool else { return };
        let unsafe_yet = || self.waiting.iter().filter(|request| request.file.is_none());
        let entries: Vec<Entry> = unsafe_yet().map(|request| request.entry.clone()).collect();
        if entries.is_empty() {
            return;
        }
        match spool.save(&entries) {
            Ok(files) => {
                let requests = self.waiting.iter_mut().filter(|request| request.file.is_none());
                for (request, file) in requests.zip(files) {
                    request.file = Some(file);
                }
                // Older ones may have made room.
                for request in &mut self.waiting {
                    request.file.take_if(|file| !spool.holds(file));
                }
            }
            Err(error) => {
                tracing::debug!(target: "otel_usage::spool", %error, "messages wait in memory");
            }
        }
        turn.set_spooled(self.on_disk());
    }

    /// Drops what was made before an opt-out that this process did not see.
    fn drop_withdrawn(&mut self, turn: &mut Turn<'_>) {
        if self.waiting.is_empty() {
            return;
        }
        let mark = self.cutoff.mark();
        while let Some(place) = self.waiting.iter().position(|request| request.mark != mark) {
            self.drop_at(place, turn, Loss::Consent);
        }
    }

    /// Notes the time of what is new, and drops what would falsify statistics if it were delivered now.
    fn drop_late(&mut self, turn: &mut Turn<'_>) {
        let (now, time) = (turn.now(), seconds(turn.unix_nanos()));
        for request in self.waiting.iter_mut().filter(|request| request.late_at.is_none()) {
            request.entry.time = time;
            request.late_at = now.checked_add(Duration::from_secs(request.entry.lifetime.into()));
        }
        let late = |request: &Request| request.late_at.is_some_and(|late| late < now);
        while let Some(place) = self.waiting.iter().position(late) {
            self.drop_at(place, turn, Loss::Expired);
        }
    }

    /// Drops one request. If it was the first, the next begins anew.
    fn drop_at(&mut self, place: usize, turn: &mut Turn<'_>, loss: Loss) {
        if place == 0 {
            self.pop(turn);
        } else {
            self.take(place);
            turn.set_spooled(self.on_disk());
        }
        turn.dropped(loss);
    }

    /// Takes over messages of processes that ended, now and then.
    fn look(&mut self, turn: &Turn<'_>) {
        let Some(spool) = &mut self.spool else { return };
        let now = turn.now();
        if self.look.is_some_and(|look| now < look) {
            return;
        }
        self.look = now.checked_add(LOOK);
        match spool.adopt(seconds(turn.unix_nanos())) {
            Ok(more) => self.more = more,
            Err(error) => {
                tracing::debug!(target: "otel_usage::spool", %error, "messages on disk wait");
            }
        }
    }

    /// Counts messages of processes that ended and are lost.
    fn count_losses(&mut self, turn: &mut Turn<'_>) {
        for loss in self.spool.iter_mut().flat_map(Spool::take_losses) {
            turn.taken_over();
            turn.dropped(loss);
        }
    }

    /// Deletes the contract's messages on disk, because consent was withdrawn.
    fn purge(&mut self) {
        if let Some(spool) = &mut self.spool
            && let Err(error) = spool.purge()
        {
            // It is tried again at the next turn.
            tracing::debug!(target: "otel_usage::spool", %error, "messages on disk are left");
        }
    }

    fn on_disk(&self) -> usize {
        self.waiting.iter().filter(|request| request.file.is_some()).count()
    }

    /// Removes the first request, and begins anew with the next.
    fn pop(&mut self, turn: &mut Turn<'_>) {
        self.take(0);
        turn.set_spooled(self.on_disk());
        self.pauses = None;
        self.not_before = None;
    }

    /// Removes a request, also from the disk.
    fn take(&mut self, place: usize) -> Option<Request> {
        let request = self.waiting.remove(place)?;
        self.bytes = self.bytes.saturating_sub(request.entry.body.len());
        if let (Some(spool), Some(file)) = (&mut self.spool, &request.file) {
            spool.remove(file);
        }
        Some(request)
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
