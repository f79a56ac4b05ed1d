//! A usage server for tests: HTTP/1.1, one thread for each connection, and faults on request.
//!
//! `otel-usage mock-server` runs it as a command, and the tests of this repository in their own process. It is
//! written on sockets, because no HTTP library breaks the protocol in the ways that a client has to survive.

#![allow(clippy::disallowed_methods, reason = "a server that is slow on purpose has to wait")]

mod fault;
mod play;
mod request;
mod server;

pub use fault::{FAULTS, Fault, Length};
pub use play::{answer, status};
pub use request::{Connection, Request};
pub use server::{Event, MockServer, Script};
