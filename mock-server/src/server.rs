//! Accepts connections, and gives each its fault.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::fault::Fault;
use crate::play::play;
use crate::request::Request;

/// Most open connections, each with a thread. Further ones are closed at once.
const CONNECTIONS: usize = 1024;

/// Stack of a connection's thread, so that a thousand of them cost little.
const STACK: usize = 256 * 1024;

/// Connections that fill the backlog of a listener in Rust's standard library, and some more.
const BACKLOG: usize = 5000;

/// The faults of one connection after another. The last one repeats.
#[derive(Debug, Clone)]
pub struct Script(Vec<Fault>);

impl Script {
    /// Makes a script. Without a fault the server behaves well.
    ///
    /// # Errors
    ///
    /// `hang-connect` stands beside another fault: it is not the server that takes a connection.
    pub fn new(faults: impl Into<Vec<Fault>>) -> Result<Self, String> {
        let mut faults = faults.into();
        if faults.len() > 1 && faults.contains(&Fault::HangConnect) {
            return Err(
                "hang-connect is about the whole server: use it alone, in a server of its own"
                    .to_owned(),
            );
        }
        if faults.is_empty() {
            faults.push(Fault::Ok);
        }
        Ok(Self(faults))
    }

    fn fault(&self, connection: usize) -> Fault {
        self.0.get(connection).or_else(|| self.0.last()).unwrap_or(&Fault::Ok).clone()
    }
}

/// An event in the server. Connections have numbers from 1.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A connection was accepted, and gets this fault.
    Begins(usize, Fault),
    /// A whole request was read.
    Request(usize, Request),
    /// The connection ended, after this many bytes of answers. The text says why, if it was not as planned.
    Ends(usize, u64, Option<String>),
}

/// A running server. It runs as long as its process.
#[derive(Debug)]
pub struct MockServer {
    address: SocketAddr,
}

impl MockServer {
    /// Starts a server on `listener`. `tell` is called on the threads of the connections.
    ///
    /// # Errors
    ///
    /// No thread can be started, or for `hang-connect` the listener's backlog cannot be filled.
    pub fn start(
        listener: TcpListener,
        script: Script,
        tell: impl Fn(Event) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        if script.fault(0) == Fault::HangConnect {
            let filled = fill(address)?;
            thread::Builder::new().stack_size(STACK).spawn(move || {
                let _held = (listener, filled);
                loop {
                    thread::park();
                }
            })?;
        } else {
            thread::Builder::new()
                .stack_size(STACK)
                .spawn(move || accept(&listener, &script, tell))?;
        }
        Ok(Self { address })
    }

    /// Returns the address on which the server listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Connects until the system takes no further connection.
fn fill(address: SocketAddr) -> io::Result<Vec<TcpStream>> {
    let mut filled = Vec::new();
    while filled.len() < BACKLOG {
        match TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            Ok(stream) => filled.push(stream),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(filled),
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("this system takes any number of connections that are not accepted"))
}

fn accept(listener: &TcpListener, script: &Script, tell: impl Fn(Event) + Send + Sync + 'static) {
    let (tell, open) = (Arc::new(tell), Arc::new(AtomicUsize::new(0)));
    let mut number: usize = 0;
    loop {
        let Ok((stream, _)) = listener.accept() else {
            // Without a file descriptor the next attempt would fail at once too.
            thread::sleep(Duration::from_millis(100));
            continue;
        };
        if open.load(Ordering::Relaxed) >= CONNECTIONS {
            continue;
        }
        let fault = script.fault(number);
        number = number.saturating_add(1);
        let (tell, held) = (Arc::clone(&tell), Open::new(&open));
        let _ = thread::Builder::new().stack_size(STACK).spawn(move || {
            let _held = held;
            tell(Event::Begins(number, fault.clone()));
            let mut sent = 0;
            let played = play(&stream, &fault, &mut sent, |request| {
                tell(Event::Request(number, request));
            });
            drop(stream);
            tell(Event::Ends(number, sent, played.err().map(|error| error.to_string())));
        });
    }
}

/// Counts an open connection while it lives.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
