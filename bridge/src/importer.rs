//! Reads messages that lie in files, by the same rules as those that arrive.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use otel_usage_schema::Contract;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::answer::Answer;
use crate::catalog::Catalog;
use crate::config::{Config, Operator};
use crate::memory::Shares;
use crate::message::Flat;
use crate::metrics::Metrics;
use crate::part::{Part, Stop};
use crate::reader::Reader;
use crate::signal::Signal;
use crate::store::Received;

/// Reads lines: flat messages, and requests of OTLP as JSON.
#[derive(Debug)]
pub struct Importer {
    reader: Reader,
    memory: Arc<Shares>,
}

/// The keys by which a request of OTLP is told from a flat message.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind<'a> {
    #[serde(borrow, alias = "resource_spans")]
    resource_spans: Option<&'a RawValue>,
    #[serde(borrow, alias = "resource_logs")]
    resource_logs: Option<&'a RawValue>,
}

impl Importer {
    /// Makes a reader of the built-in contracts and `contracts`.
    ///
    /// # Errors
    ///
    /// A contract contradicts itself, or collection is off for every contract.
    pub fn new(contracts: &[Contract], operator: Arc<dyn Operator>) -> anyhow::Result<Self> {
        let config = Config { contracts: contracts.to_vec(), operator, ..Config::default() };
        let catalog = Catalog::new(&config)?;
        let memory = Shares::new(config.limits.memory);
        Ok(Self { reader: Reader::new(catalog, &config, Arc::new(Metrics::default())), memory })
    }

    /// Returns the messages of a line.
    ///
    /// # Errors
    ///
    /// The line is neither OTLP nor a message that a contract knows. The text says which part is wrong.
    pub fn read(&self, line: &[u8]) -> Result<Vec<Received>, String> {
        #[expect(clippy::disallowed_methods, reason = "consent is asked anew after a while")]
        let now = Instant::now();
        let signal = match serde_json::from_slice::<Kind<'_>>(line) {
            Ok(Kind { resource_spans: Some(_), .. }) => Some(Signal::Traces),
            Ok(Kind { resource_logs: Some(_), .. }) => Some(Signal::Logs),
            // Python writes what is no JSON, which the reader of flat messages knows.
            _ => None,
        };
        let flats = match signal {
            Some(signal) => self.request(signal, line, now)?,
            None => match self.reader.posted(line, now) {
                Ok(flat) => flat.into_iter().collect(),
                Err(Answer::Undecodable(why)) => return Err(why),
                Err(_) => return Err("a message is not so long".to_owned()),
            },
        };
        if flats.is_empty() {
            return Err("no contract knows a message in it".to_owned());
        }
        Ok(flats.into_iter().filter_map(|flat| self.received(flat)).collect())
    }

    fn request(&self, signal: Signal, line: &[u8], now: Instant) -> Result<Vec<Flat>, String> {
        let json = serde_json::from_slice(line)
            .map_err(|error| format!("this OTLP cannot be read: {error}"))?;
        let mut share = self.memory.share(IpAddr::from(Ipv4Addr::LOCALHOST));
        self.reader.read(signal, Part::Json(json), &mut share, now).map_err(|stop| match stop {
            Stop::Malformed => "this OTLP cannot be read".to_owned(),
            Stop::TooLarge | Stop::Busy => "a request is not so long".to_owned(),
        })
    }

    fn received(&self, flat: Flat) -> Option<Received> {
        let contract = self.reader.catalog.known.get(flat.contract)?.id().to_owned();
        let body: Bytes = flat.body;
        Some(Received { contract, message: flat.message, body, time_nanos: flat.time_nanos })
    }
}
