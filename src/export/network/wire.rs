//! Writes the head of a request itself, below the HTTP client.
//!
//! The client logs what it sends through the engine's own logger: URLs at debug, every byte of the head
//! at trace. It is therefore given a head without secrets, and the real one takes its place on the way
//! to the connection. The real head also has the absolute form that a proxy expects for plain HTTP.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// The time of the last look for an answer, after the time of a request is up.
const LAST_LOOK: Duration = Duration::from_millis(250);

/// The head of the next request. The client sends one request at a time.
#[derive(Clone, Default)]
pub(super) struct NextHead(Arc<Mutex<Option<Vec<u8>>>>);

impl NextHead {
    pub(super) fn set(&self, head: Option<Vec<u8>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = head;
    }

    fn take(&self) -> Option<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Wraps connections, the last link of the connector's chain.
pub(super) struct HeadConnector {
    pub(super) next: NextHead,
    /// The header lines for the `CONNECT` request of a tunnel. `None` if there is no tunnel.
    pub(super) tunnel: Option<Vec<u8>>,
}

impl fmt::Debug for HeadConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeadConnector")
    }
}

impl<In: Transport> Connector<In> for HeadConnector {
    type Out = HeadTransport<In>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        // Below a tunnel the client first connects to the proxy, with settings that name no proxy.
        let role = match &self.tunnel {
            Some(lines) if details.config.proxy().is_none() => Role::Tunnel(lines.clone()),
            _ => Role::Requests(self.next.clone()),
        };
        Ok(chained.map(|inner| HeadTransport { inner, role, held: None, has_looked: false }))
    }
}

enum Role {
    /// The heads of requests are replaced.
    Requests(NextHead),
    /// These lines are added to the request for a tunnel.
    Tunnel(Vec<u8>),
    /// The tunnel stands, and its bytes belong to the connection inside.
    Passes,
}

/// A connection whose heads are written here.
pub(super) struct HeadTransport<In> {
    inner: In,
    role: Role,
    /// The real head, and the client's as far as it has come.
    held: Option<(Vec<u8>, Vec<u8>)>,
    /// Whether there was a last look for the answer to this request.
    has_looked: bool,
}

impl<In> fmt::Debug for HeadTransport<In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeadTransport")
    }
}

impl<In: Transport> HeadTransport<In> {
    fn send(&mut self, mut bytes: &[u8], timeout: NextTimeout) -> Result<(), Error> {
        while !bytes.is_empty() {
            let room = self.inner.buffers().output();
            let amount = bytes.len().min(room.len());
            let (now, later) = bytes.split_at_checked(amount).unwrap_or((bytes, &[]));
            if let Some(room) = room.get_mut(..amount) {
                room.copy_from_slice(now);
            }
            self.inner.transmit_output(amount, timeout)?;
            bytes = later;
        }
        Ok(())
    }
}

impl<In: Transport> Transport for HeadTransport<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        const END: &[u8] = b"\r\n\r\n";
        self.has_looked = false;
        if self.held.is_none() {
            self.held = match &self.role {
                Role::Requests(next) => next.take().map(|head| (head, Vec::new())),
                Role::Tunnel(_) => Some((Vec::new(), Vec::new())),
                Role::Passes => None,
            };
        }
        let Some((mut real, mut given)) = self.held.take() else {
            return self.inner.transmit_output(amount, timeout);
        };
        given.extend_from_slice(self.inner.buffers().output().get(..amount).unwrap_or_default());
        let Some(end) = given.windows(END.len()).position(|window| window == END) else {
            self.held = Some((real, given));
            return Ok(());
        };
        let (head, rest) =
            given.split_at_checked(end.saturating_add(END.len())).unwrap_or_default();
        if let Role::Tunnel(lines) = &self.role {
            real.extend_from_slice(head.strip_suffix(b"\r\n").unwrap_or(head));
            real.extend_from_slice(lines);
            real.extend_from_slice(b"\r\n");
            self.role = Role::Passes;
        }
        real.extend_from_slice(rest);
        self.send(&real, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        match self.inner.await_input(timeout) {
            // A process that stood still for that time finds the answer there, and would send its request again.
            Err(Error::Timeout(_)) if !self.has_looked => {
                self.has_looked = true;
                self.inner.await_input(NextTimeout { after: LAST_LOOK.into(), ..timeout })
            }
            result => result,
        }
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}
