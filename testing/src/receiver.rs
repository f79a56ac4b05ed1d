//! A usage server on a loopback port in this process: HTTP/1.1, one thread for each connection.
//!
//! Every request goes to a channel. The answers are scripted, so that a test can play a server that
//! refuses, hangs or breaks off. They are scripted request by request; `otel_usage_mock_server` has more faults,
//! connection by connection.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver as Channel, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use otel_usage_mock_server::Request;
use otel_usage_mock_server::{Connection, answer, status};

/// The server's treatment of a request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Answers with this status and these header lines.
    Status(u16, &'static str),
    /// Answers 200 with this body.
    Body(Vec<u8>),
    /// Closes the connection in the middle of the answer.
    BreakOff,
    /// Never answers.
    Hang,
}

/// A running server.
#[derive(Debug)]
pub struct Receiver {
    /// On the loopback.
    pub address: SocketAddr,
    /// The requests in the order in which they arrived.
    pub requests: Channel<Request>,
    is_away: Arc<AtomicBool>,
}

impl Receiver {
    /// Starts a server that answers 200 to every request.
    pub fn start() -> Self {
        Self::scripted(Vec::new(), Answer::Status(200, ""))
    }

    /// Starts a server that follows `script`, request by request, and after that always answers `finally`.
    pub fn scripted(script: Vec<Answer>, finally: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
        Self::on(listener, script, finally)
    }

    /// Starts a server that gives this answer to every request until it has come back. How often an engine tries
    /// meanwhile depends on the machine.
    pub fn away(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
        Self::start_on(listener, Vec::new(), Answer::Status(200, ""), Some(answer))
    }

    /// Lets the server that was away come back, and forgets the requests that it had until now.
    pub fn come_back(&self) {
        self.is_away.store(false, Ordering::SeqCst);
        let _ = self.requests.try_iter().count();
    }

    /// Starts a server on a listener, so that a test knows the address before the server is up.
    pub fn on(listener: TcpListener, script: Vec<Answer>, finally: Answer) -> Self {
        Self::start_on(listener, script, finally, None)
    }

    fn start_on(
        listener: TcpListener,
        script: Vec<Answer>,
        finally: Answer,
        away: Option<Answer>,
    ) -> Self {
        let is_away = Arc::new(AtomicBool::new(away.is_some()));
        let until_back = Arc::clone(&is_away);
        let address = listener.local_addr().expect("a bound address");
        let (sender, requests) = channel();
        let script = Arc::new(Mutex::new(script.into_iter()));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (sender, script, finally) =
                    (sender.clone(), Arc::clone(&script), finally.clone());
                let (away, is_away) = (away.clone(), Arc::clone(&until_back));
                std::thread::spawn(move || {
                    let next = || {
                        let away = away.clone().filter(|_| is_away.load(Ordering::SeqCst));
                        away.or_else(|| script.lock().ok()?.next())
                    };
                    let _ = serve(&stream, |request| {
                        let answer = next().unwrap_or_else(|| finally.clone());
                        let _ = sender.send(request);
                        answer
                    });
                });
            }
        });
        Self { address, requests, is_away }
    }

    /// Returns the URL without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for the next request, two minutes at most.
    pub fn next(&self) -> Request {
        self.requests.recv_timeout(Duration::from_secs(120)).expect("a request")
    }

    /// Waits for the next `count` requests.
    pub fn take(&self, count: usize) -> Vec<Request> {
        (0..count).map(|_| self.next()).collect()
    }

    /// Returns whether no request waits in the channel. The caller first waits for all that may arrive.
    pub fn is_silent(&self) -> bool {
        matches!(
            self.requests.recv_timeout(Duration::ZERO),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected)
        )
    }
}

/// Serves one connection. `take` chooses the answer to each request.
pub fn serve(stream: &TcpStream, mut take: impl FnMut(Request) -> Answer) -> std::io::Result<()> {
    let mut connection = Connection::new(stream);
    let mut writer = stream;
    while let Some(request) = connection.request()? {
        // Each answer in one write: in several, the second would wait for the client's delayed
        // acknowledgement of the first, 40 ms.
        match take(request) {
            Answer::Status(code, lines) => writer.write_all(&status(code, lines))?,
            Answer::Body(body) => writer.write_all(&answer(&body))?,
            Answer::BreakOff => {
                write!(writer, "HTTP/1.1 200 OK\r\nContent-Len")?;
                return stream.shutdown(std::net::Shutdown::Both);
            }
            Answer::Hang => loop {
                std::thread::park();
            },
        }
    }
    Ok(())
}
