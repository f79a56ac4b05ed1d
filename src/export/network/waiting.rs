//! The requests of one exporter that wait, in memory and on disk.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use otel_usage_schema::Loss;

use super::client::Request;
use super::seconds;
use crate::cutoff::Cutoff;
use crate::export::Turn;
use crate::spool::{Entry, Spool};

/// Most requests that wait: a start message, the newest heartbeat and the messages of two intervals.
const QUEUE: usize = 16;

/// Most bytes that wait.
const QUEUE_BYTES: usize = 256 * 1024;

/// Time between two looks for messages of processes that ended. It is that between two heartbeats, which wake
/// the worker anyway.
const LOOK: Duration = Duration::from_secs(600);

/// The first request may be on its way. It then keeps its place.
#[derive(Debug)]
pub(super) struct Waiting {
    requests: VecDeque<Request>,
    bytes: usize,
    spool: Option<Spool>,
    cutoff: Cutoff,
    /// The time of the next look for messages of processes that ended. `None` before the first look.
    look: Option<Instant>,
    /// Whether the last look left processes that ended.
    more: bool,
    /// Messages of this process that were dropped since the last turn.
    dropped: Vec<Loss>,
}

impl Waiting {
    /// Makes an empty queue. The disk is not touched.
    pub(super) const fn new(spool: Option<Spool>, cutoff: Cutoff) -> Self {
        Self {
            requests: VecDeque::new(),
            bytes: 0,
            spool,
            cutoff,
            look: None,
            more: false,
            dropped: Vec::new(),
        }
    }

    pub(super) fn first(&self) -> Option<&Request> {
        self.requests.front()
    }

    #[cfg(test)]
    pub(super) fn requests(&self) -> impl Iterator<Item = &Request> {
        self.requests.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Queues a request. The oldest of those that are not on their way make room, because each bound of the
    /// spool drops the oldest, too.
    ///
    /// # Errors
    ///
    /// It has no room even in an empty queue.
    pub(super) fn push(&mut self, mut request: Request, in_flight: bool) -> Result<(), Loss> {
        let fixed = usize::from(in_flight);
        let size = request.entry.body.len();
        let kept = self.requests.front().filter(|_| in_flight);
        let kept = kept.map_or(0, |first| first.entry.body.len());
        if kept.saturating_add(size) > QUEUE_BYTES {
            return Err(Loss::QueueFull);
        }
        while self.requests.len() >= QUEUE || self.bytes.saturating_add(size) > QUEUE_BYTES {
            if self.take(fixed).is_none() {
                return Err(Loss::QueueFull);
            }
            self.dropped.push(Loss::QueueFull);
        }
        self.bytes = self.bytes.saturating_add(size);
        request.mark = self.cutoff.mark();
        self.requests.push_back(request);
        Ok(())
    }

    /// Drops the message of this process that `newer` replaces, unless it is on its way.
    ///
    /// Those that were taken over stay, because they tell of other processes.
    pub(super) fn replace(&mut self, newer: &Entry, in_flight: bool) {
        let fixed = usize::from(in_flight);
        let old = |other: &Request| {
            other.entry.newest_only && other.entry.address == newer.address && !other.is_taken_over
        };
        while let Some(place) = self.requests.iter().skip(fixed).position(old) {
            self.take(place.saturating_add(fixed));
            self.dropped.push(Loss::Superseded);
        }
    }

    /// Drops what was made before an opt-out that this process did not see. Returns whether the first was
    /// dropped.
    pub(super) fn drop_withdrawn(&mut self, turn: &mut Turn<'_>) -> bool {
        if self.requests.is_empty() {
            return false;
        }
        let mark = self.cutoff.mark();
        let withdrawn = |request: &Request| request.mark != mark;
        let mut first = false;
        while let Some(place) = self.requests.iter().position(withdrawn) {
            first |= place == 0;
            self.take(place);
            turn.dropped(Loss::Consent);
        }
        first
    }

    /// Counts what was dropped since the last turn, notes the time of what is new, and drops what would falsify
    /// statistics if it were delivered now. A message on its way stays.
    pub(super) fn drop_late(&mut self, turn: &mut Turn<'_>, in_flight: bool) {
        for loss in std::mem::take(&mut self.dropped) {
            turn.dropped(loss);
        }
        let (now, time) = (turn.now(), seconds(turn.unix_nanos()));
        for request in self.requests.iter_mut().filter(|request| request.late_at.is_none()) {
            request.entry.time = time;
            request.late_at = now.checked_add(Duration::from_secs(request.entry.lifetime.into()));
        }
        let late = |request: &Request| request.late_at.is_some_and(|late| late < now);
        let fixed = usize::from(in_flight);
        while let Some(place) = self.requests.iter().skip(fixed).position(late) {
            self.take(place.saturating_add(fixed));
            turn.dropped(Loss::Expired);
        }
    }

    /// Writes to disk what waits and is not there yet. A message that cannot be written waits in memory.
    ///
    /// With `look` it looks first whether other processes deleted files to make room.
    pub(super) fn save(&mut self, look: bool) {
        let Some(spool) = &mut self.spool else { return };
        if look && self.requests.iter().any(|request| request.file.is_some()) {
            match spool.refresh() {
                Ok(()) => {
                    for request in &mut self.requests {
                        request.file.take_if(|file| !spool.holds(file));
                    }
                }
                Err(error) => {
                    tracing::debug!(target: "otel_usage::spool", %error, "the folder is unreadable");
                }
            }
        }
        let missing = |request: &&Request| request.file.is_none();
        let entries: Vec<Entry> =
            self.requests.iter().filter(missing).map(|request| request.entry.clone()).collect();
        if entries.is_empty() {
            return;
        }
        match spool.save(&entries) {
            Ok(files) => {
                let requests = self.requests.iter_mut().filter(|request| request.file.is_none());
                for (request, file) in requests.zip(files) {
                    request.file = Some(file);
                }
                // Older ones may have made room.
                for request in &mut self.requests {
                    request.file.take_if(|file| !spool.holds(file));
                }
            }
            Err(error) => {
                tracing::debug!(target: "otel_usage::spool", %error, "messages wait in memory");
            }
        }
    }

    /// Takes over messages of processes that ended, now and then.
    pub(super) fn look(&mut self, turn: &Turn<'_>) {
        let Some(spool) = &mut self.spool else { return };
        let now = turn.now();
        if self.look.is_some_and(|look| now < look) {
            return;
        }
        self.look = now.checked_add(LOOK);
        match spool.adopt(seconds(turn.unix_nanos())) {
            // Files that an earlier look left stay known until their messages are asked for.
            Ok(more) => self.more |= more,
            Err(error) => {
                tracing::debug!(target: "otel_usage::spool", %error, "messages on disk wait");
            }
        }
    }

    /// Returns the time of the next look, if something is on disk: an opt-out is then noticed, too. Otherwise the
    /// worker is not woken for it, and looks when something else wakes it.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.look.filter(|_| self.on_disk() > 0)
    }

    /// Takes the next message of a process that ended into the queue. `next` makes its request.
    pub(super) fn take_over(
        &mut self,
        turn: &mut Turn<'_>,
        next: impl Fn(&mut Spool, i64) -> Option<Request>,
    ) -> Option<()> {
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
        request.is_taken_over = true;
        self.bytes = self.bytes.saturating_add(request.entry.body.len());
        self.requests.push_back(request);
        turn.taken_over();
        Some(())
    }

    /// Counts messages of processes that ended and are lost.
    pub(super) fn count_losses(&mut self, turn: &mut Turn<'_>) {
        for loss in self.spool.iter_mut().flat_map(Spool::take_losses) {
            turn.lost_left_over(loss);
        }
    }

    /// Deletes the contract's messages on disk, because consent was withdrawn.
    pub(super) fn purge(&mut self) {
        if let Some(spool) = &mut self.spool
            && let Err(error) = spool.purge()
        {
            // It is tried again at the next turn.
            tracing::debug!(target: "otel_usage::spool", %error, "messages on disk are left");
        }
    }

    pub(super) fn on_disk(&self) -> usize {
        self.requests.iter().filter(|request| request.file.is_some()).count()
    }

    /// Forgets everything in memory, and gives back what is on disk.
    pub(super) fn release(&mut self) {
        self.requests.clear();
        self.bytes = 0;
        self.dropped.clear();
        self.look = None;
        self.more = false;
        if let Some(spool) = &mut self.spool {
            spool.release_all();
        }
    }

    /// Forgets everything, also on disk.
    pub(super) fn discard(&mut self) {
        while self.take(0).is_some() {}
        self.dropped.clear();
    }

    /// Removes a request, also from the disk.
    pub(super) fn take(&mut self, place: usize) -> Option<Request> {
        let request = self.requests.remove(place)?;
        self.bytes = self.bytes.saturating_sub(request.entry.body.len());
        if let (Some(spool), Some(file)) = (&mut self.spool, &request.file) {
            spool.remove(file);
        }
        Some(request)
    }
}
