//! Reads messages that lie in files, by the same rules as those that arrive.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use otel_usage_schema::Contract;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::catalog::Catalog;
use crate::config::{Config, Operator};
use crate::memory::Shares;
use crate::message::Flat;
use crate::metrics::Metrics;
use crate::part::Part;
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

    /// Returns the messages of a line, or `None` if it is neither OTLP nor a message that a contract knows.
    #[must_use]
    pub fn read(&self, line: &[u8]) -> Option<Vec<Received>> {
        #[expect(clippy::disallowed_methods, reason = "consent is asked anew after a while")]
        let now = Instant::now();
        let signal = match serde_json::from_slice::<Kind<'_>>(line) {
            Ok(Kind { resource_spans: Some(_), .. }) => Some(Signal::Traces),
            Ok(Kind { resource_logs: Some(_), .. }) => Some(Signal::Logs),
            // Python writes what is no JSON, which the reader of flat messages knows.
            _ => None,
        };
        let flats = match signal {
            Some(signal) => {
                let request = Part::Json(serde_json::from_slice(line).ok()?);
                let mut share = self.memory.share(IpAddr::from(Ipv4Addr::LOCALHOST));
                self.reader.read(signal, request, &mut share, now).ok()?
            }
            None => self.reader.posted(line, now).ok()?.into_iter().collect(),
        };
        Some(flats.into_iter().filter_map(|flat| self.received(flat)).collect())
    }

    fn received(&self, flat: Flat) -> Option<Received> {
        let contract = self.reader.catalog.known.get(flat.contract)?.id().to_owned();
        let body: Bytes = flat.body;
        Some(Received { contract, message: flat.message, body, time_nanos: flat.time_nanos })
    }
}
