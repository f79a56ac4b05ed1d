//! A usage server on a loopback port, in this process: real HTTP/1.1, one thread per connection.
//!
//! Shared by the examples and the tests. Every request goes to a channel; what is answered is
//! scripted, so that a test can play a server that refuses, hangs or breaks off.

// Each program that includes this file uses a part of it.
#![allow(dead_code, clippy::expect_used, reason = "shared between examples and tests")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver as Channel, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Answers with this status and these header lines.
    Status(u16, &'static str),
    /// Breaks off in the middle of the answer.
    BreakOff,
    /// Never answers.
    Hang,
}

/// A running server; requests arrive in `requests`.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    pub(crate) requests: Channel<Request>,
}

impl Receiver {
    /// A server that answers 200 to everything.
    pub(crate) fn start() -> Self {
        Self::scripted(Vec::new(), Answer::Status(200, ""))
    }

    /// A server that follows `script`, request by request, and then always says `finally`.
    pub(crate) fn scripted(script: Vec<Answer>, finally: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
        Self::on(listener, script, finally)
    }

    /// The same behind a listener: a test can say when a server comes up at an address it knows.
    pub(crate) fn on(listener: TcpListener, script: Vec<Answer>, finally: Answer) -> Self {
        let address = listener.local_addr().expect("a bound address");
        let (sender, requests) = channel();
        let script = Arc::new(Mutex::new(script.into_iter()));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (sender, script, finally) =
                    (sender.clone(), Arc::clone(&script), finally.clone());
                std::thread::spawn(move || {
                    let next = || script.lock().ok()?.next();
                    let _ = serve(&stream, |request| {
                        let answer = next().unwrap_or_else(|| finally.clone());
                        let _ = sender.send(request);
                        answer
                    });
                });
            }
        });
        Self { address, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next request, waiting for it as long as a test may reasonably take.
    pub(crate) fn next(&self) -> Request {
        self.requests.recv_timeout(Duration::from_secs(20)).expect("a request")
    }

    /// The next `count` requests.
    pub(crate) fn take(&self, count: usize) -> Vec<Request> {
        (0..count).map(|_| self.next()).collect()
    }

    /// Nothing has come, once everything that could come has been waited for by the caller.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(
            self.requests.recv_timeout(Duration::ZERO),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected)
        )
    }
}

/// One connection: `take` says what is done with each request.
pub(crate) fn serve(
    stream: &TcpStream,
    mut take: impl FnMut(Request) -> Answer,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let length = headers
            .iter()
            .find(|(name, _)| name == "content-length")
            .and_then(|(_, value)| value.parse().ok())
            .unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let answer = take(Request { method, path, headers, body });
        let mut writer = stream;
        match answer {
            Answer::Status(status, lines) => {
                // In one write: in several, the second would wait for the client's delayed
                // acknowledgement of the first, 40 ms.
                let head = format!("HTTP/1.1 {status} X\r\n{lines}Content-Length: 0\r\n\r\n");
                writer.write_all(head.as_bytes())?;
            }
            Answer::BreakOff => {
                write!(writer, "HTTP/1.1 200 OK\r\nContent-Len")?;
                return stream.shutdown(std::net::Shutdown::Both);
            }
            Answer::Hang => loop {
                std::thread::park();
            },
        }
    }
}
