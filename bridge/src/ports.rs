//! Ports that are taken first and opened last.
//!
//! A process that finds its port in use has to leave nothing behind, so it takes its ports before it makes a file. An open
//! port shows that the process is ready, so it is opened after everything else.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait to be accepted. The kernel allows no more than its own limit.
const WAITING: u32 = 4096;

/// Ports that no other process can take, and to which no client can connect yet.
#[derive(Debug)]
pub struct Ports {
    sockets: Vec<(SocketAddr, TcpSocket)>,
    /// The option of the command that names them.
    option: &'static str,
}

impl Ports {
    /// Takes the ports of these addresses, which `option` of the command names.
    ///
    /// # Errors
    ///
    /// A port is taken, or an address is not of this machine. The error names the address and the option.
    pub fn take(addresses: &[SocketAddr], option: &'static str) -> anyhow::Result<Self> {
        let taken = addresses.iter().map(|&address| {
            let socket = socket(address).with_context(|| cannot(address, option))?;
            Ok((address, socket))
        });
        Ok(Self { sockets: taken.collect::<anyhow::Result<_>>()?, option })
    }

    /// Returns whether there is no port.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// Returns the addresses, with the ports that the operating system chose.
    ///
    /// # Errors
    ///
    /// The operating system does not return an address.
    pub fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(|(_, socket)| socket.local_addr()).collect()
    }

    /// Opens the ports.
    ///
    /// # Errors
    ///
    /// Another process that began at the same time was faster.
    pub fn open(self) -> anyhow::Result<Vec<TcpListener>> {
        let Self { sockets, option } = self;
        let open = |(address, socket): (SocketAddr, TcpSocket)| {
            socket.listen(WAITING).with_context(|| cannot(address, option))
        };
        sockets.into_iter().map(open).collect()
    }
}

fn socket(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of a process that has ended keep a port for a while. On Windows the option would let two processes have
    // one port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn cannot(address: SocketAddr, option: &str) -> String {
    format!("cannot listen on {address}: choose another address with {option}")
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn a_port_is_open_when_it_is_asked_to_and_no_other_process_can_have_it_then() {
        let ports = Ports::take(&["127.0.0.1:0".parse().unwrap()], "--listen").unwrap();
        let address = ports.addresses().unwrap()[0];
        assert!(TcpStream::connect(address).await.is_err());
        let opened = ports.open().unwrap();
        TcpStream::connect(address).await.unwrap();
        let why = Ports::take(&[address], "--maintainers").unwrap_err();
        let text = format!("cannot listen on {address}: choose another address with --maintainers");
        assert_eq!(why.to_string(), text);
        drop(opened);
    }
}
