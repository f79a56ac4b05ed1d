//! Exporters: the places where messages go.
//!
//! The built-in exporters are `server` (flat JSON to the usage server), `file`, `otlp` (to a collector)
//! and `console`. An engine adds its own by implementing [`Exporter`]. Each gets every
//! [`ExportRecord`] on the worker thread. Local exporters write at once. Network exporters queue a
//! request and send it later, so that a slow server delays no other exporter.

mod active;
mod build;
mod console;
mod file;
#[cfg(feature = "http")]
mod network;
mod record;
mod span_exporter;

use std::fmt::Debug;
use std::time::Instant;

pub use crate::delivery::{Delivery, DeliveryOutcome};
pub use crate::stats::ExporterStats;
pub use active::Turn;
pub use otel_usage_schema::Loss;
pub use record::ExportRecord;
pub use span_exporter::UsageSpanExporter;

pub(crate) use active::{ActiveExporter, BUDGET, Need, Sent, Wake};
pub(crate) use build::{active, check};
#[cfg(feature = "http")]
pub use network::{Delivered, Reached, Route, Stage};
pub(crate) use record::{SpanIds, SpanRecord};

/// A place where messages go.
///
/// All methods are called on the worker thread, never on a thread of the engine. A panic is caught and
/// counted.
///
/// # Examples
///
/// ```
/// use otel_usage::export::{ExportRecord, Exporter, Outcome};
///
/// #[derive(Debug, Default)]
/// struct Lines(Vec<String>);
///
/// impl Exporter for Lines {
///     fn name(&self) -> &str {
///         "lines"
///     }
///
///     fn is_network(&self) -> bool {
///         false
///     }
///
///     fn export(&mut self, record: &ExportRecord) -> Outcome {
///         let Some(message) = record.message() else { return Outcome::Ignored };
///         self.0.push(message.to_json());
///         Outcome::Delivered
///     }
/// }
/// ```
pub trait Exporter: Send + Debug {
    /// Returns a short name for statistics.
    fn name(&self) -> &str;

    /// Returns whether messages leave the machine. If so, consent must be
    /// [`Consent::Granted`](crate::Consent::Granted) for each call.
    fn is_network(&self) -> bool;

    /// Returns the destination of a network exporter as the notice shows it. Default: its name.
    fn destination(&self) -> String {
        self.name().to_owned()
    }

    /// Takes one record.
    fn export(&mut self, record: &ExportRecord) -> Outcome;

    /// Sends messages that [`Exporter::export`] queued, and tells `turn` what became of each.
    ///
    /// Returns the time of the next attempt, or `None` if nothing waits for a time. It is called after
    /// each batch of records and at the time that it returned. Default: nothing is queued.
    fn send_queued(&mut self, turn: &mut Turn<'_>) -> Option<Instant> {
        let _ = turn;
        None
    }

    /// Forgets the queued messages, because consent was withdrawn or sending panicked. Default: nothing
    /// is queued.
    fn discard_queued(&mut self) {}

    /// Begins anew, because the process was restored from a checkpoint: connections are dead, and what is
    /// queued in memory belongs to the process before. Default: forgets the queued messages.
    fn begin_again(&mut self) {
        self.discard_queued();
    }
}

/// The result of [`Exporter::export`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The message reached its destination.
    Delivered,
    /// The message is lost for this reason.
    Dropped(Loss),
    /// The exporter sends flat messages, and the record has none.
    Ignored,
    /// The message waits in the exporter's own queue. [`Exporter::send_queued`] must account for it.
    Queued,
}

/// The name of a built-in exporter, as `OTEL_USAGE_EXPORTERS` spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ExporterName {
    /// Readable JSON on stderr.
    Console,
    /// A local file with JSON lines, or a text log if one was asked for.
    File,
    /// OTLP to a collector.
    Otlp,
    /// Flat JSON to the contract's usage server.
    Server,
}

impl ExporterName {
    /// Every built-in exporter, in the order in which they are called. Local ones are first.
    pub const ALL: [Self; 4] = [Self::Console, Self::File, Self::Otlp, Self::Server];

    /// Returns the word for it in `OTEL_USAGE_EXPORTERS`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::File => "file",
            Self::Otlp => "otlp",
            Self::Server => "server",
        }
    }

    /// Returns whether messages leave the machine.
    #[must_use]
    pub const fn is_network(self) -> bool {
        matches!(self, Self::Otlp | Self::Server)
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|exporter| exporter.as_str() == word)
    }
}
