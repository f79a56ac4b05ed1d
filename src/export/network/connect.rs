//! Looks names up, opens connections, and tells failures before a connection from those after one.
//!
//! The chain is that of the client's own connector, with links of ours around the one that opens sockets.

use std::fmt;
use std::io::ErrorKind;
use std::net::ToSocketAddrs as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, RustlsConnector,
    TcpConnector, Transport,
};

use super::wire::HeadConnector;

/// The name is being looked up, or no socket was asked for yet.
const LOOKS_UP: u8 = 1;
/// No address of the host has answered.
const CONNECTS: u8 = 2;
/// There was an answer: a connection, or a refusal.
const ANSWERED: u8 = 3;

/// How far an attempt has come. The client makes one at a time.
#[derive(Debug, Clone, Default)]
pub(super) struct Stage(Arc<AtomicU8>);

impl Stage {
    fn set(&self, stage: u8) {
        self.0.store(stage, Ordering::Relaxed);
    }

    /// Begins an attempt. It may use a connection that stands already.
    pub(super) fn begin(&self) {
        self.set(ANSWERED);
    }

    pub(super) fn look_up(&self) {
        self.set(LOOKS_UP);
    }

    /// Notes that the name has an address.
    pub(super) fn found(&self) {
        self.set(ANSWERED);
    }

    /// Returns whether an attempt that ended with `error` reached no host.
    pub(super) fn is_unreached(&self, error: &Error) -> bool {
        match self.0.load(Ordering::Relaxed) {
            LOOKS_UP => true,
            // A lack of file descriptors, for example, says nothing about the host.
            CONNECTS => match error {
                Error::Timeout(_) => true,
                Error::Io(error) => is_no_way(error.kind()),
                _ => false,
            },
            _ => false,
        }
    }
}

/// Returns whether a socket failed because there is no way to the address.
fn is_no_way(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::AddrNotAvailable
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::NetworkUnreachable
            // A firewall of this machine, or a sandbox.
            | ErrorKind::PermissionDenied
            | ErrorKind::TimedOut
    )
}

/// Returns the chain of connectors that ends with `heads`.
pub(super) fn connector(stage: Stage, heads: HeadConnector) -> impl Connector {
    ()
        // It asks this chain for a connection to the proxy, if there is one.
        .chain(ConnectProxyConnector::default())
        .chain(SocketConnector { tcp: TcpConnector::default(), stage })
        .chain(RustlsConnector::default())
        .chain(heads)
}

/// Opens a socket.
///
/// It tries each address by itself, because the client tells only the last error. Often that is "no way" to an
/// address of the other family, while the first address refused.
struct SocketConnector {
    tcp: TcpConnector,
    stage: Stage,
}

impl fmt::Debug for SocketConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SocketConnector")
    }
}

impl<In: Transport> Connector<In> for SocketConnector {
    type Out = <TcpConnector as Connector<In>>::Out;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if chained.is_some() {
            return self.tcp.connect(details, chained);
        }
        self.stage.set(CONNECTS);
        let count = u32::try_from(details.addrs.len()).unwrap_or(1).max(1);
        let after = details.timeout.after.checked_div(count).unwrap_or_default();
        let share = NextTimeout { after: after.into(), ..details.timeout };
        let mut result = Err(Error::ConnectionFailed);
        for address in &details.addrs {
            let mut addrs = details.resolver.empty();
            addrs.push(*address);
            let one = ConnectionDetails {
                addrs,
                now: (details.current_time)(),
                timeout: share,
                current_time: Arc::clone(&details.current_time),
                run_connector: Arc::clone(&details.run_connector),
                register_shutdown: Arc::clone(&details.register_shutdown),
                ..*details
            };
            result = self.tcp.connect(&one, None);
            match &result {
                Err(Error::Timeout(_)) => {}
                Err(Error::Io(error)) if is_no_way(error.kind()) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                    self.stage.set(ANSWERED);
                }
                _ => break,
            }
        }
        if result.is_ok() {
            self.stage.set(ANSWERED);
        }
        result
    }
}

/// Looks names up on the thread of the request.
///
/// ureq's own resolver starts a thread for every look-up. With a name server that never answers the
/// threads would pile up.
#[derive(Debug)]
pub(super) struct HereResolver {
    pub(super) stage: Stage,
}

impl Resolver for HereResolver {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        self.stage.look_up();
        let address = uri
            .scheme()
            .zip(uri.authority())
            .and_then(|(scheme, authority)| DefaultResolver::host_and_port(scheme, authority))
            .ok_or(Error::HostNotFound)?;
        let mut addresses = self.empty();
        // The array has room for 16.
        for address in address.to_socket_addrs().map_err(Error::Io)?.take(16) {
            addresses.push(address);
        }
        if addresses.is_empty() {
            return Err(Error::HostNotFound);
        }
        self.stage.found();
        Ok(addresses)
    }
}
