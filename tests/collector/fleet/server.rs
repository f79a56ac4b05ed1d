//! The usage server of a fleet: stores messages in the [`Ledger`], and can be unavailable or busy.
//!
//! It answers 200 after a delay like that of a network, or 503. While it is unavailable it refuses and breaks
//! connections. It answers every message that it stored.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use otel_usage_testing::receiver::{Answer, serve};

use super::ledger::Ledger;

/// Time of each answer. Together with the POSTs that a bridge has in flight it limits the rate.
pub(super) const LATENCY: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Up,
    Busy,
    Away,
}

#[derive(Debug)]
struct Shared {
    ledger: Arc<Ledger>,
    state: Mutex<State>,
    /// The run of the bridge that connects.
    by: AtomicU32,
    at_work: AtomicUsize,
    most: AtomicUsize,
    closing: AtomicBool,
}

#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) fn start(address: SocketAddr, ledger: &Arc<Ledger>) -> Self {
        let shared = Arc::new(Shared {
            ledger: Arc::clone(ledger),
            state: Mutex::new(State::Up),
            by: AtomicU32::new(0),
            at_work: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
        });
        let mut server = Self { address, shared, accepting: None };
        server.listen();
        server
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Starts another run of the bridge, after everything from the run before is handled.
    pub(super) fn expect_another_bridge(&self) {
        while self.shared.at_work.load(Ordering::Relaxed) > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.shared.by.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the largest number of concurrent requests.
    pub(super) fn most_at_once(&self) -> usize {
        self.shared.most.load(Ordering::Relaxed)
    }

    /// Stops listening, so that connections are refused.
    pub(super) fn leave(&mut self) {
        *self.shared.state.lock().unwrap() = State::Away;
        self.shared.closing.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for a connection, so that it drops the listener.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            accepting.join().unwrap();
        }
    }

    /// Listens again and answers 503.
    pub(super) fn come_back_busy(&mut self) {
        *self.shared.state.lock().unwrap() = State::Busy;
        self.listen();
    }

    pub(super) fn recover(&self) {
        *self.shared.state.lock().unwrap() = State::Up;
    }

    fn listen(&mut self) {
        self.shared.closing.store(false, Ordering::Relaxed);
        let listener = TcpListener::bind(self.address).unwrap();
        let shared = Arc::clone(&self.shared);
        self.accepting = Some(std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.closing.load(Ordering::Relaxed) {
                    return;
                }
                let (shared, by) = (Arc::clone(&shared), shared.by.load(Ordering::Relaxed));
                std::thread::spawn(move || {
                    let _ = serve(&stream, |request| shared.answer(&request.text(), by));
                });
            }
        }));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Shared {
    fn answer(&self, body: &str, by: u32) -> Answer {
        let at_work = self.at_work.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(at_work, Ordering::Relaxed);
        std::thread::sleep(LATENCY);
        let state = *self.state.lock().unwrap();
        if state == State::Up {
            self.ledger.stored(body, by);
        }
        self.at_work.fetch_sub(1, Ordering::Relaxed);
        match state {
            State::Up => Answer::Status(200, ""),
            State::Busy => Answer::Status(503, "Retry-After: 1\r\n"),
            State::Away => Answer::BreakOff,
        }
    }
}
