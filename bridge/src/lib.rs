//! The bridge receives OTLP, flattens it, and delivers one flat JSON object per message.
//!
//! ```text
//!  OTLP ─► routes ─► decode ─► reader ─► window ─► file, console
//!  (HTTP, gRPC)               (contract,   │    └► server: one POST a message
//!                 answer ◄─── flatten)     ▼
//!                              remembers deliveries
//! ```
//!
//! A usage server is this door with a [`Store`] behind it. It then takes flat messages at every path too, and shows a
//! site of pages.
//!
//! It keeps no state on disk. If a record cannot be delivered now, the bridge answers "later", and the sender
//! (a collector with a queue, or the engine's exporter) sends the request again. `docs/receiver/bridge.md`
//! explains the answers and lists the metrics.

mod answer;
mod authorities;
mod batch;
mod beside;
mod catalog;
mod config;
mod connections;
mod deliver;
mod files;
mod flat;
mod importer;
mod intake;
mod keys;
mod lines;
#[cfg(test)]
mod logged;
mod memory;
mod message;
mod metrics;
mod otlp;
mod part;
mod pipeline;
mod ports;
mod post;
mod posted;
mod proxies;
mod queues;
mod reader;
mod recognise;
mod routes;
mod serve;
mod signal;
mod store;
mod strangers;
mod to_the_end;
mod unflatten;
mod value;
mod verdict;
mod window;

pub use beside::Beside;
pub use config::{Config, Exporters, FileExporter, Limits, Operator};
pub use importer::Importer;
pub use ports::Ports;
pub use proxies::{Network, NoNetwork};
pub use serve::{Bridge, MetricsText};
pub use store::{Received, Refusal, Store};
