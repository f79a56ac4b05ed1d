//! The open connections: how many there may be, and which one has to go.
//!
//! A connection is quiet while none of its requests is complete: it says nothing, or it is slow. A quiet
//! connection ends after a while, and earlier if another one needs its place, so that silent senders do
//! not shut others out.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Time after which a connection that waits for a place looks for a quiet one again.
const AGAIN: Duration = Duration::from_millis(100);

/// The sender at the other end of a connection.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) address: IpAddr,
    state: Mutex<State>,
    /// Set when the connection has to end.
    ended: Notify,
}

#[derive(Debug)]
struct State {
    /// Number of requests of which anything is there.
    asked: usize,
    /// Number of complete requests in progress.
    working: usize,
    /// The time at which the connection was opened, or the last request began or ended.
    since: Instant,
    /// Whether a request was ever complete.
    proven: bool,
}

/// The reason for which a connection has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It was quiet for too long.
    Quiet,
    /// Another one needs its place.
    Needed,
}

/// A request of which anything is there.
#[derive(Debug)]
pub(crate) struct Asked(Arc<Sender>);

/// A complete request in progress.
#[derive(Debug)]
pub(crate) struct Working(Arc<Sender>);

/// The place of a connection, which is free again once this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Arc<Connections>,
    sender: Arc<Sender>,
}

/// The open connections of all listeners.
#[derive(Debug)]
pub(crate) struct Connections {
    limit: usize,
    open: Mutex<Vec<Arc<Sender>>>,
    /// Told whenever a connection ends.
    left: Notify,
    /// Whether the log says that the limit is reached.
    full: AtomicBool,
}

impl Sender {
    fn new(address: IpAddr) -> Arc<Self> {
        let state = State { asked: 0, working: 0, since: Instant::now(), proven: false };
        Arc::new(Self { address, state: Mutex::new(state), ended: Notify::new() })
    }

    /// Marks a complete request as in progress, until the result is dropped.
    pub(crate) fn working(self: &Arc<Self>) -> Working {
        self.with(|state| {
            state.working = state.working.saturating_add(1);
            state.proven = true;
        });
        Working(Arc::clone(self))
    }

    /// Marks a request as begun, until the result is dropped.
    pub(crate) fn asked(self: &Arc<Self>) -> Asked {
        self.with(|state| {
            state.asked = state.asked.saturating_add(1);
            state.since = Instant::now();
        });
        Asked(Arc::clone(self))
    }

    /// Returns when there has been no request for `time`.
    pub(crate) async fn idle(&self, time: Duration) {
        loop {
            sleep(time).await;
            if self.with(|state| state.asked == 0 && state.since.elapsed() >= time) {
                return;
            }
        }
    }

    /// Returns when the connection has been quiet for `limit`, or when another one needs its place.
    pub(crate) async fn end(&self, limit: Duration) -> End {
        loop {
            let now = Instant::now();
            let quiet = self.since();
            let until = quiet.unwrap_or(now).checked_add(limit).unwrap_or(now);
            if quiet.is_some() && until <= now {
                return End::Quiet;
            }
            tokio::select! {
                () = self.needed() => return End::Needed,
                () = sleep_until(until) => {}
            }
        }
    }

    /// Returns when another connection needs the place of this one.
    pub(crate) async fn needed(&self) {
        self.ended.notified().await;
    }

    /// Returns the time since which the connection is quiet, `None` if it is not.
    fn since(&self) -> Option<Instant> {
        self.quiet().map(|(_, since)| since)
    }

    /// Returns whether a quiet connection was of use, and the time since which it is quiet.
    fn quiet(&self) -> Option<(bool, Instant)> {
        self.with(|state| (state.working == 0).then_some((state.proven, state.since)))
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.with(|state| state.asked = state.asked.saturating_sub(1));
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.with(|state| {
            state.working = state.working.saturating_sub(1);
            state.since = Instant::now();
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.leave(&self.sender);
    }
}

impl Connections {
    pub(crate) fn new(limit: usize) -> Self {
        let open = Mutex::default();
        Self { limit, open, left: Notify::new(), full: AtomicBool::new(false) }
    }

    /// Gives a new connection a place, once there is one.
    pub(crate) async fn enter(&self, address: IpAddr) -> Arc<Sender> {
        let sender = Sender::new(address);
        loop {
            let left = self.left.notified();
            let entered = self.with(|open| {
                let entered = open.len() < self.limit;
                if entered {
                    open.push(Arc::clone(&sender));
                }
                entered
            });
            if entered {
                return sender;
            }
            self.end_one("all places are taken");
            // Every connection may be at work now, and quiet a moment later.
            let _ = timeout(AGAIN, left).await;
        }
    }

    /// Returns the place of a connection that has entered.
    pub(crate) fn place(self: &Arc<Self>, sender: &Arc<Sender>) -> Place {
        Place { connections: Arc::clone(self), sender: Arc::clone(sender) }
    }

    /// Removes a connection that has ended.
    fn leave(&self, sender: &Arc<Sender>) {
        let rest = self.with(|open| {
            open.retain(|other| !Arc::ptr_eq(other, sender));
            open.len()
        });
        if rest < self.limit / 2 {
            self.full.store(false, Ordering::Relaxed);
        }
        self.left.notify_waiters();
    }

    /// Ends the connection that has been quiet for the longest time, first one that never sent a complete
    /// request. The log says this once, and again only after half of the places were free.
    pub(crate) fn end_one(&self, why: &str) {
        if !self.full.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                connections = self.limit,
                "{why}; quiet connections are closed for new ones: see --max-connections"
            );
        }
        let quiet = self.with(|open| {
            let quiet = open.iter().filter_map(|sender| Some((sender.quiet()?, sender)));
            quiet.min_by_key(|(quiet, _)| *quiet).map(|(_, sender)| Arc::clone(sender))
        });
        if let Some(sender) = quiet {
            sender.ended.notify_one();
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Vec<Arc<Sender>>) -> T) -> T {
        change(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_whose_task_panics_gives_its_place_back() {
        let connections = Arc::new(Connections::new(1));
        let sender = connections.enter(IpAddr::from([127, 0, 0, 1])).await;
        let place = connections.place(&sender);
        let task = tokio::spawn(async move {
            let _place = place;
            assert!(std::hint::black_box(false), "a mistake");
        });
        assert!(task.await.is_err());
        assert!(connections.with(|open| open.is_empty()));
    }
}
