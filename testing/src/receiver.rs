//! A usage server on a loopback port in this process: HTTP/1.1, one thread for each connection.
//!
//! Every request goes to a channel. The answers are scripted, so that a test can play a server that
//! refuses, hangs or breaks off.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver as Channel, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Request {
    /// `POST`, for example.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in small letters, values without spaces around them.
    pub headers: Vec<(String, String)>,
    /// The body, `content-length` bytes.
    pub body: Vec<u8>,
}

impl Request {
    /// Returns the value of a header, by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What the server does with a request.
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

    /// Starts a server on a listener, so that a test knows the address before the server is up.
    pub fn on(listener: TcpListener, script: Vec<Answer>, finally: Answer) -> Self {
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

    /// Returns the URL without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for the next request, 20 s at most.
    pub fn next(&self) -> Request {
        self.requests.recv_timeout(Duration::from_secs(20)).expect("a request")
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
            Answer::Body(body) => {
                let head = format!("HTTP/1.1 200 X\r\nContent-Length: {}\r\n\r\n", body.len());
                writer.write_all(&[head.as_bytes(), &body].concat())?;
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
