//! The network exporters: one outbox with two encodings, flat JSON and OTLP.

mod client;
#[cfg(feature = "otlp")]
mod otlp;
mod outbox;
mod server;
mod wire;

use std::fmt::Debug;
use std::time::Instant;

use otel_usage_schema::{Destination, Loss};

#[cfg(feature = "otlp")]
pub(super) use otlp::{check as check_otlp, exporter as otlp};
pub(super) use server::exporter as server;

use self::client::Request;
use self::outbox::Outbox;
use super::{ExportRecord, Exporter, Outcome, Turn};

/// Turns a record into the request of one exporter.
trait Encoding: Send + Debug {
    const NAME: &'static str;

    /// Returns the request, or `None` if the record is not meant for this exporter.
    fn request(&self, record: &ExportRecord) -> Result<Option<Request>, Loss>;
}

/// An exporter that sends requests of one encoding through an outbox.
#[derive(Debug)]
pub(super) struct Network<E> {
    encoding: E,
    destination: Destination,
    outbox: Outbox,
}

impl<E: Encoding> Exporter for Network<E> {
    fn name(&self) -> &str {
        E::NAME
    }

    fn is_network(&self) -> bool {
        true
    }

    fn destination(&self) -> String {
        self.destination.origin()
    }

    fn export(&mut self, record: &ExportRecord) -> Outcome {
        match self.encoding.request(record) {
            Ok(Some(request)) => self.outbox.push(request),
            Ok(None) => Outcome::Ignored,
            Err(loss) => Outcome::Dropped(loss),
        }
    }

    fn send_queued(&mut self, turn: &mut Turn<'_>) -> Option<Instant> {
        self.outbox.send(turn)
    }

    fn discard_queued(&mut self) {
        self.outbox.discard();
    }
}
