//! Sends the requests of one exporter in order, when the policy of their host allows it.
//!
//! Requests go out in the order in which they were made, because LMCache's receiver expects that. While they
//! can be delivered, they are in memory only. After a failed attempt, and when the time of a caller who waits is
//! nearly up, all that wait are on disk too, until a delivery succeeds.

use std::sync::Arc;
use std::time::Instant;

use otel_usage_schema::Loss;

use super::client::{Answer, Request};
use super::flight::{Flight, Landed, Post};
use super::hosts::Host;
use super::ledger::Ledger;
use super::policy::{Met, Wait};
use super::waiting::Waiting;
use crate::cutoff::Cutoff;
use crate::export::{Outcome, Turn};
use crate::spool::Spool;

#[derive(Debug)]
pub(super) struct Outbox {
    post: Arc<dyn Post>,
    host: Host,
    ledger: Ledger,
    waiting: Waiting,
    /// The first request on its way.
    flight: Option<Flight>,
    /// Whether a caller waits for an attempt that begins after the call.
    urgent: bool,
    /// Whether the host fails, so that what waits has to be safe.
    failing: bool,
}

impl Outbox {
    /// Makes an empty outbox. The disk is not touched.
    pub(super) fn new(
        host: Host,
        post: Arc<dyn Post>,
        ledger: Ledger,
        spool: Option<Spool>,
        cutoff: Cutoff,
    ) -> Self {
        Self {
            post,
            host,
            ledger,
            waiting: Waiting::new(spool, cutoff),
            flight: None,
            urgent: false,
            failing: false,
        }
    }

    /// Queues a request. The oldest make room.
    pub(super) fn push(&mut self, request: Request) -> Outcome {
        let in_flight = self.is_in_flight();
        // While the server answers, each is sent.
        if request.entry.newest_only && self.failing {
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
    }

    /// Begins anew in a restored process. Messages on disk stay there, for the process that takes them over.
    pub(super) fn begin_again(&mut self) {
        self.waiting.release();
        // The thread of the request is that of the process before.
        self.flight = None;
        self.urgent = false;
        self.failing = false;
        self.post.begin_again();
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
        self.waiting.drop_late(turn, self.is_in_flight());
        self.waiting.look(turn);
        if self.failing || turn.must_save() {
            self.waiting.save(turn.must_save() || turn.is_urgent());
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
                self.land(landed, turn);
                continue;
            }
            if self.waiting.is_empty() && self.waiting.take_over(turn, &next).is_none() {
                self.urgent = false;
                return None;
            }
            let now = turn.now();
            if now >= turn.until() {
                return Some(now);
            }
            if !turn.may_send() {
                self.withdraw(turn);
                return None;
            }
            self.drop_withdrawn(turn);
            let Some(request) = self.waiting.first().cloned() else { continue };
            let urgent = std::mem::take(&mut self.urgent);
            if let Err(Wait { until, failing }) = self.host.begin(now, urgent) {
                self.failing |= failing;
                if self.failing || urgent {
                    self.waiting.save(false);
                }
                return Some(until);
            }
            let attempt = self.ledger.begin(&request, turn);
            self.flight = Some(Flight::start(&self.post, request, attempt, turn));
            self.tell(turn);
        }
    }

    /// Drops what was made before an opt-out that this process did not see. A request on its way completes.
    fn drop_withdrawn(&mut self, turn: &mut Turn<'_>) {
        if self.waiting.drop_withdrawn(turn)
            && let Some(flight) = &mut self.flight
        {
            flight.is_forgotten = true;
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
            self.waiting.save(false);
        }
        slow
    }

    /// Notes what became of the request that was on its way.
    fn land(&mut self, landed: Landed, turn: &mut Turn<'_>) {
        let Some(Flight { mut attempt, is_forgotten, .. }) = self.flight.take() else { return };
        let Landed::Answered(answer, status) = landed else {
            if !is_forgotten {
                // It must not be tried again.
                self.pop();
                turn.dropped(Loss::Panicked);
            }
            return;
        };
        attempt.status = status;
        self.ledger.end(attempt, &answer, turn);
        let met = match answer {
            Answer::Delivered | Answer::Refused => Met::Answered,
            Answer::Later(asked) => Met::Failed(asked),
            Answer::Unreached => Met::Unreached,
        };
        self.failing = met != Met::Answered;
        if self.host.end(turn.now(), met) {
            self.post.tell_unreached();
        }
        if is_forgotten {
            return;
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
            // The policy says when to come again.
            Answer::Later(_) | Answer::Unreached => self.waiting.save(false),
        }
    }

    /// Deletes the contract's messages on disk, because consent was withdrawn. A delivered message stays counted.
    fn withdraw(&mut self, turn: &mut Turn<'_>) {
        self.waiting.purge();
        if let Some(landed) = self.flight.as_ref().and_then(Flight::landed) {
            match landed {
                Landed::Answered(Answer::Later(_) | Answer::Unreached, _) | Landed::Panicked => {
                    self.flight = None;
                }
                landed => self.land(landed, turn),
            }
        }
    }

    #[cfg(test)]
    pub(super) const fn has_flight(&self) -> bool {
        self.flight.is_some()
    }

    /// Returns how many messages are in memory, on their way from there, and on disk.
    #[cfg(test)]
    pub(super) fn places(&self) -> (u64, u64, u64) {
        let on_disk = self.waiting.on_disk() as u64;
        let first = self.waiting.first().filter(|_| self.is_in_flight());
        let in_flight = u64::from(first.is_some_and(|request| request.file.is_none()));
        let all = self.waiting.requests().count() as u64;
        (all.saturating_sub(on_disk).saturating_sub(in_flight), in_flight, on_disk)
    }

    #[cfg(test)]
    pub(super) fn files(&self) -> impl Iterator<Item = &String> {
        self.waiting.requests().filter_map(|request| request.file.as_ref())
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

    /// Removes the first request.
    fn pop(&mut self) {
        self.waiting.take(0);
    }
}

#[cfg(test)]
mod tests;
