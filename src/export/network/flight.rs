//! A request on its way to its server.
//!
//! It has a thread of its own, because neither a look-up of a name nor a connection can be cut short. So the
//! worker stays free: it takes records, notices an opt-out, and saves what waits when a caller's time is up.
//! An answer that comes after that still counts.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use super::client::{Answer, Request};
use super::ledger::Attempt;
use crate::export::Turn;
use crate::thread;

/// Sends requests, one at a time.
pub(super) trait Post: Send + Sync + Debug {
    /// Sends a request, within `limit` if it is given. `unix_nanos` is the wall time, for a `Retry-After`
    /// that is a date. The status of an answer is noted in `seen`.
    fn post(
        &self,
        request: &Request,
        unix_nanos: i64,
        limit: Option<Duration>,
        seen: &mut Option<u16>,
    ) -> Answer;

    /// Tells the operator that no attempt led to a connection.
    fn tell_unreached(&self) {}
    /// Forgets its connections, because the process was restored.
    fn begin_again(&self) {}
}

/// The end of a request.
#[derive(Debug)]
pub(super) enum Landed {
    /// The meaning of the answer, and its status if there is one.
    Answered(Answer, Option<u16>),
    Panicked,
}

/// The time of an answer that is no longer usual. Messages that wait are then saved, as after a failed attempt.
const SLOW: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Flight {
    landed: Receiver<Landed>,
    pub(super) attempt: Attempt,
    pub(super) slow_at: Option<Instant>,
    /// Whether the request was dropped meanwhile, so that its answer means nothing.
    pub(super) is_forgotten: bool,
}

impl Flight {
    /// Sends a request. If the system has no thread to give, the caller's sends it and waits.
    pub(super) fn start(
        post: &Arc<dyn Post>,
        request: Request,
        attempt: Attempt,
        turn: &Turn<'_>,
    ) -> Self {
        let (sender, landed) = sync_channel(1);
        let (unix_nanos, limit, wake) = (turn.unix_nanos(), turn.limit(), turn.wake());
        let post = Arc::clone(post);
        let run = Arc::new(move || {
            let answer = AssertUnwindSafe(|| {
                let mut status = None;
                let answer = post.post(&request, unix_nanos, limit, &mut status);
                Landed::Answered(answer, status)
            });
            let landed = catch_unwind(answer).unwrap_or(Landed::Panicked);
            let _ = sender.send(landed);
            wake.wake();
        });
        let there = Arc::clone(&run);
        if thread::spawn("otel-usage-send", move || there()).is_err() {
            run();
        }
        let slow_at = turn.now().checked_add(SLOW);
        Self { landed, attempt, slow_at, is_forgotten: false }
    }

    /// Returns what became of the request, once that is known.
    pub(super) fn landed(&self) -> Option<Landed> {
        match self.landed.try_recv() {
            Ok(landed) => Some(landed),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Landed::Panicked),
        }
    }
}
