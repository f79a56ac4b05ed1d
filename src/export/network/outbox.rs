//! Sends the requests of one exporter in order, and retries them with backoff.
//!
//! Requests go out in the order in which they were made, because LMCache's receiver expects that. While they
//! can be delivered, they are in memory only. After a failed attempt, and when the time of a caller who waits is
//! nearly up, all that wait are on disk too, until a delivery succeeds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use otel_usage_schema::Loss;
use uuid::Uuid;

use super::client::{Answer, Request};
use super::flight::{Flight, Landed, Post};
use super::ledger::Ledger;
use super::waiting::Waiting;
use crate::cutoff::Cutoff;
use crate::export::{Outcome, Turn};
use crate::spool::Spool;

/// Pauses between attempts double from one second to five minutes, each plus a random part of itself.
/// After the last retry a request in memory is lost: all pauses together take 13 to 27 minutes. One on disk is
/// tried at the longest pause until it is too late for it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
const RETRIES: usize = 10;

/// Longest `Retry-After` that is obeyed. A request in memory whose server asks for more is lost; one on disk
/// waits this long.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(super) struct Outbox {
    post: Arc<dyn Post>,
    ledger: Ledger,
    waiting: Waiting,
    /// The first request on its way.
    flight: Option<Flight>,
    /// Whether a caller waits for an attempt that begins after the call.
    urgent: bool,
    /// The pauses that are left for the first request. `None` until it was tried.
    pauses: Option<ExponentialBackoff>,
    not_before: Option<Instant>,
}

impl Outbox {
    /// Makes an empty outbox. The disk is not touched.
    pub(super) fn new(
        post: Arc<dyn Post>,
        ledger: Ledger,
        spool: Option<Spool>,
        cutoff: Cutoff,
    ) -> Self {
        Self {
            post,
            ledger,
            waiting: Waiting::new(spool, cutoff),
            flight: None,
            urgent: false,
            pauses: None,
            not_before: None,
        }
    }

    /// Queues a request. The oldest make room.
    pub(super) fn push(&mut self, request: Request) -> Outcome {
        let in_flight = self.is_in_flight();
        // While the server answers, each is sent. The pause that the server asked for stays.
        if request.entry.newest_only && self.pauses.is_some() {
            self.waiting.replace(&request.entry, in_flight);
        }
        self.waiting.push(request, in_flight).map_or_else(Outcome::Dropped, |()| Outcome::Queued)
    }

    /// Forgets everything that waits, also on disk. A request that is on its way completes.
    pub(super) fn discard(&mut self) {
        self.waiting.discard();
        if let Some(flight) = &mut self.flight {
            flight.is_forgotten = true;
        }
        self.urgent = false;
        self.start_anew();
    }

    /// Sends one request after another, until the queue is empty, a request has to pause, or the turn
    /// ends. Returns the time of the next attempt. `next` makes the next request of a process that ended.
    pub(super) fn send(
        &mut self,
        turn: &mut Turn<'_>,
        next: impl Fn(&mut Spool, i64) -> Option<Request>,
    ) -> Option<Instant> {
        self.urgent |= turn.is_urgent();
        // Before the disk, because an opt-out deletes what is there and reads none of it.
        if !turn.may_send() {
            self.withdraw(turn);
            return None;
        }
        self.drop_withdrawn(turn);
        if self.waiting.drop_late(turn, self.is_in_flight()) {
            self.start_anew();
        }
        self.waiting.look(turn);
        if self.pauses.is_some() || turn.must_save() {
            self.waiting.save();
        }
        self.tell(turn);
        let result = self.attempt(turn, next);
        self.waiting.count_losses(turn);
        self.tell(turn);
        result.into_iter().chain(self.waiting.next_look()).min()
    }

    fn attempt(
        &mut self,
        turn: &mut Turn<'_>,
        next: impl Fn(&mut Spool, i64) -> Option<Request>,
    ) -> Option<Instant> {
        loop {
            if let Some(flight) = &self.flight {
                let Some(landed) = flight.landed() else { return self.wait_for_answer(turn) };
                if let Some(due) = self.land(landed, turn) {
                    return Some(due);
                }
                continue;
            }
            if self.waiting.is_empty() && self.waiting.take_over(turn, &next).is_none() {
                self.urgent = false;
                return None;
            }
            let now = turn.now();
            if let Some(due) = self.not_before
                && now < due
                && !self.urgent
            {
                return Some(due);
            }
            if now >= turn.until() {
                return Some(now);
            }
            if !turn.may_send() {
                self.withdraw(turn);
                return None;
            }
            self.urgent = false;
            self.drop_withdrawn(turn);
            let Some(request) = self.waiting.first().cloned() else { continue };
            let attempt = self.ledger.begin(&request, turn);
            self.flight = Some(Flight::start(&self.post, request, attempt, turn));
            self.tell(turn);
        }
    }

    /// Drops what was made before an opt-out that this process did not see. What is on its way completes.
    fn drop_withdrawn(&mut self, turn: &mut Turn<'_>) {
        if self.waiting.drop_withdrawn(turn) {
            if let Some(flight) = &mut self.flight {
                flight.is_forgotten = true;
            }
            self.start_anew();
        }
    }

    /// Leaves a request on its way. Its answer wakes the worker.
    fn wait_for_answer(&mut self, turn: &mut Turn<'_>) -> Option<Instant> {
        let flight = self.flight.as_ref()?;
        if !flight.is_forgotten {
            turn.is_in_flight();
        }
        let slow = flight.slow_at.filter(|slow| turn.now() < *slow);
        if slow.is_none() {
            self.waiting.save();
        }
        slow
    }

    /// Notes what became of the request that was on its way. Returns the time of the next attempt if there is
    /// a pause before it.
    fn land(&mut self, landed: Landed, turn: &mut Turn<'_>) -> Option<Instant> {
        let Flight { mut attempt, is_forgotten, .. } = self.flight.take()?;
        let Landed::Answered(answer, status) = landed else {
            if !is_forgotten {
                // It must not be tried again.
                self.pop();
                turn.dropped(Loss::Panicked);
            }
            return None;
        };
        attempt.status = status;
        self.ledger.end(attempt, &answer, turn);
        if is_forgotten {
            return None;
        }
        match answer {
            Answer::Delivered => {
                self.pop();
                turn.delivered();
            }
            Answer::Refused => {
                self.pop();
                turn.dropped(Loss::Refused);
            }
            Answer::Later(asked) => {
                self.waiting.save();
                match self.pause(asked) {
                    Some(pause) => {
                        self.not_before = turn.now().checked_add(pause);
                        return self.not_before.filter(|_| !self.urgent);
                    }
                    None => {
                        self.pop();
                        turn.dropped(Loss::Expired);
                    }
                }
            }
        }
        None
    }

    /// Returns the pause before the next attempt, or `None` if the request is lost.
    fn pause(&mut self, asked: Option<Duration>) -> Option<Duration> {
        let durable = self.waiting.first().is_some_and(|request| request.file.is_some());
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

    /// Deletes the contract's messages on disk, because consent was withdrawn. What was delivered counts.
    fn withdraw(&mut self, turn: &mut Turn<'_>) {
        self.waiting.purge();
        if let Some(landed) = self.flight.as_ref().and_then(Flight::landed) {
            match landed {
                Landed::Answered(Answer::Later(_), _) | Landed::Panicked => self.flight = None,
                landed => {
                    self.land(landed, turn);
                }
            }
        }
    }

    fn is_in_flight(&self) -> bool {
        self.flight.as_ref().is_some_and(|flight| !flight.is_forgotten)
    }

    /// Tells the account where messages are.
    fn tell(&self, turn: &mut Turn<'_>) {
        let on_its_way = self.waiting.first().filter(|_| self.is_in_flight());
        let in_flight = on_its_way.is_some_and(|request| request.file.is_none());
        turn.set_places(self.waiting.on_disk(), usize::from(in_flight));
    }

    /// Removes the first request, and begins anew with the next.
    fn pop(&mut self) {
        self.waiting.take(0);
        self.start_anew();
    }

    fn start_anew(&mut self) {
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
