//! Sinks: where messages go.
//!
//! In: a [`Report`] (an environment and a record). Out: an [`Outcome`] that the pipeline acts on.
//! Local sinks write at once. Network sinks turn the report into a request and keep it in a bounded
//! queue until it is answered, so that one slow server holds nobody up.

mod console;
mod file;
#[cfg(feature = "http")]
pub(crate) mod http;
#[cfg(feature = "otlp")]
mod otlp;
#[cfg(feature = "http")]
mod server;

use std::fmt::Debug;
use std::sync::Arc;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;

pub(crate) use console::Console;
pub(crate) use file::{File, Form};
#[cfg(feature = "otlp")]
pub(crate) use otlp::Otlp;
#[cfg(feature = "http")]
pub(crate) use server::Server;

use crate::flatten::{Message, flatten};
use crate::loss::Loss;
use crate::schema::{CompiledContract, Environment, Record};

/// One report on its way out: what every sink is given.
#[derive(Debug, Clone)]
pub struct Report {
    contract: Arc<CompiledContract>,
    environment: Arc<Environment>,
    record: Arc<Record>,
    direct: bool,
}

impl Report {
    pub(crate) fn new(
        contract: Arc<CompiledContract>,
        environment: Arc<Environment>,
        record: Record,
        direct: bool,
    ) -> Self {
        Self { contract, environment, record: Arc::new(record), direct }
    }

    /// The flat message; `None` for the span of the whole run.
    #[must_use]
    pub fn message(&self) -> Option<Message<'_>> {
        flatten(&self.contract, &self.environment, &self.record)
    }

    /// The record behind it.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The record's kind, for example `lmcache.engine`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.record.kind(&self.contract)
    }

    /// The span that OTLP carries.
    #[must_use]
    pub fn span(&self) -> SpanData {
        self.contract.span(&self.record, self.direct)
    }

    /// The Resource that OTLP carries.
    #[must_use]
    pub fn resource(&self) -> Resource {
        self.contract.resource(&self.environment)
    }
}

/// What became of a report that a sink was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It reached its destination.
    Delivered,
    /// It is lost, and why.
    Dropped(Loss),
    /// It is not for this sink: the sink takes flat messages, and the report has none.
    Ignored,
    /// It waits in the sink's own queue.
    Queued,
}

/// A destination of your own, beside the built-in ones.
///
/// Called on the exporter's worker thread, never on the engine's. A panic is caught and counted.
pub trait Sink: Send + Debug {
    /// A short name for statistics.
    fn name(&self) -> &str;

    /// Whether reports leave the machine here; then it is called with [`crate::Consent::Granted`]
    /// only.
    fn is_network(&self) -> bool;

    /// Takes one report.
    fn take(&mut self, report: &Report) -> Outcome;
}
