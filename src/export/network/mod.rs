//! The network exporters: one outbox with two encodings, flat JSON and OTLP.

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test may overflow, and fails by panicking")]
mod accounts;
mod client;
mod connect;
mod flight;
mod head;
mod hosts;
mod late;
mod ledger;
mod operate;
#[cfg(feature = "otlp")]
mod otlp;
mod outbox;
mod policy;
mod reach;
mod server;
mod waiting;
mod wire;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use otel_usage_schema::{Contract, Destination, Loss};
use ureq::http::{HeaderName, HeaderValue};

#[cfg(feature = "otlp")]
pub(super) use otlp::{check as check_otlp, exporter as otlp};
pub(super) use server::exporter as server;

pub use operate::Delivered;
pub use reach::{Reached, Route, Stage};

use self::client::{Client, Request};
use self::late::Lateness;
use self::ledger::Ledger;
use self::outbox::Outbox;
use super::{ExportRecord, Exporter, Outcome, Turn};
use crate::notifier::Notifier;
use crate::receipts::Journal;
use crate::settings::Settings;
use crate::spool::{Address, Entry, Folder, Spool, Taken};

/// Turns a record into the body of one exporter's request.
pub(super) trait Encoding: Send + Debug {
    const NAME: &'static str;

    /// Returns the body, or `None` if the record is not meant for this exporter.
    fn encode(&self, record: &ExportRecord) -> Result<Option<Encoded>, Loss>;

    /// Returns the headers of a request.
    fn headers(&self, gzip: bool) -> Vec<(HeaderName, HeaderValue)>;

    /// Returns a body, which may be compressed, as text for people.
    fn text(gzip: bool, body: &[u8]) -> Option<String>;

    /// Returns the keys of which one names the instance in a body.
    fn instance_keys(contract: &Contract) -> Vec<String>;

    /// Returns the identity of the instance as a body carries it.
    fn instance_id(keys: &[String], gzip: bool, body: &[u8]) -> Option<String>;

    /// Returns every destination to which a message of the contract may go.
    fn destinations(&self, contract: &Contract) -> Vec<Destination>;
}

/// A body and the place to which it goes.
pub(super) struct Encoded {
    destination: Destination,
    gzip: bool,
    body: Vec<u8>,
}

/// An exporter that sends requests of one encoding through an outbox.
#[derive(Debug)]
pub(super) struct Network<E> {
    encoding: E,
    contract: Contract,
    destination: Destination,
    /// The full destinations by their digests, for entries that another process saved.
    destinations: Vec<(Address, Destination)>,
    outbox: Outbox,
}

impl<E: Encoding> Network<E> {
    fn new(
        encoding: E,
        destination: Destination,
        client: Client,
        settings: &Settings,
        contract: &Contract,
        notifier: &Notifier,
    ) -> Self {
        let journal = Journal::new(&settings.receipts, notifier);
        let ledger = Ledger {
            exporter: E::NAME,
            text: E::text,
            instance_keys: E::instance_keys(contract),
            instance_id: E::instance_id,
            journal,
        };
        let address = |to: &Destination| Address::new(E::NAME, &contract.id, to);
        let place = settings.spool.clone().filter(|_| settings.memory_only.is_none());
        let spool = place.map(|path| {
            Spool::new(Box::new(Folder::new(path)), &contract.id, address(&destination))
                .with_cutoff(settings.cutoff.clone())
        });
        Self {
            contract: contract.clone(),
            destinations: operate::addressed(&encoding, contract),
            encoding,
            destination,
            outbox: Outbox::new(
                client.host().clone(),
                Arc::new(client),
                ledger,
                spool,
                settings.cutoff.clone(),
            ),
        }
    }

    fn request(&self, record: &ExportRecord) -> Result<Option<Request>, Loss> {
        let Some(Encoded { destination, gzip, body }) = self.encoding.encode(record)? else {
            return Ok(None);
        };
        let message = record.message();
        let late = Lateness::of(&self.contract, message.as_ref().map(|message| message.spec()));
        let entry = Entry {
            contract: self.contract.id.to_string(),
            message: message
                .as_ref()
                .map_or_else(|| record.kind(), |message| message.name())
                .to_owned(),
            address: Address::new(E::NAME, &self.contract.id, &destination),
            identity: record.identity(),
            // The outbox sets it, because the engine's clock may be another.
            time: 0,
            lifetime: late.lifetime,
            newest_only: late.newest_only,
            gzip,
            body,
        };
        let headers = self.encoding.headers(gzip);
        Ok(Some(Request {
            destination,
            headers,
            entry,
            file: None,
            late_at: None,
            mark: None,
            is_taken_over: false,
        }))
    }
}

/// Returns the whole milliseconds of a wall time.
const fn millis(unix_nanos: i64) -> i64 {
    unix_nanos.div_euclid(1_000_000)
}

/// Returns the whole seconds of a wall time.
const fn seconds(unix_nanos: i64) -> i64 {
    unix_nanos.div_euclid(1_000_000_000)
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
        match self.request(record) {
            Ok(Some(request)) => self.outbox.push(request),
            Ok(None) => Outcome::Ignored,
            Err(loss) => Outcome::Dropped(loss),
        }
    }

    fn send_queued(&mut self, turn: &mut Turn<'_>) -> Option<Instant> {
        let Self { outbox, destinations, encoding, .. } = self;
        let to = |address: &Address| {
            let known = destinations.iter().find(|(other, _)| other == address);
            known.map(|(_, destination)| destination.clone())
        };
        outbox.send(turn, |spool, now| {
            loop {
                let Taken { name, entry } = spool.next(now, |address| to(address).is_some())?;
                if let Some(destination) = to(&entry.address) {
                    let headers = encoding.headers(entry.gzip);
                    return Some(Request {
                        destination,
                        headers,
                        entry,
                        file: Some(name),
                        late_at: None,
                        mark: None,
                        is_taken_over: true,
                    });
                }
            }
        })
    }

    fn discard_queued(&mut self) {
        self.outbox.discard();
    }

    fn begin_again(&mut self) {
        self.outbox.begin_again();
    }
}
