//! A store that keeps messages: the exporter of a usage server.
//!
//! The other exporters pass flat messages on; a store is their end. It says for each request whether the messages
//! are safe, and only then the sender is told so.

use std::fmt::Debug;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

/// A message to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_structs,
    reason = "the importer and tests of a usage server make it too"
)]
pub struct Received {
    /// The id of the contract.
    pub contract: String,
    /// The receiver's name of the message.
    pub message: String,
    /// The flat message as this program wrote it, sanitized.
    pub body: Bytes,
    /// The time that the engine gave, in nanoseconds since the Unix epoch; 0 if it gave none.
    pub time_nanos: i64,
}

/// The reason why a store does not keep the messages of a request now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "each is an answer of HTTP")]
pub enum Refusal {
    /// It cannot keep anything now. The sender has to repeat the request after this pause.
    Later(Duration),
    /// The sender sends too much. It has to repeat the request after this pause.
    TooMany(Duration),
}

/// A place that keeps messages.
pub trait Store: Debug + Send + Sync {
    /// Keeps the messages of one request. `from` is the sender, or the client that a trusted proxy names.
    ///
    /// The result is `Ok` once the messages are safe, also after a loss of power.
    fn keep(
        &self,
        from: IpAddr,
        messages: Vec<Received>,
    ) -> BoxFuture<'static, Result<(), Refusal>>;

    /// Takes note of what was received and is not kept: `not_recognised`, `unknown_contract` or `unknown_key`.
    fn note(&self, what: &'static str, count: usize);
}
