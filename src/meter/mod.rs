//! What an engine counts between two reports.
//!
//! In: calls from its hot path. Out: at each interval the attributes of a record. [`instrument`] is what the
//! engine holds, [`row`] the values behind it, [`registry`] what the worker empties.

mod instrument;
mod registry;
mod row;

pub use instrument::{Counter, Gauge, Histogram, Series};

pub(crate) use registry::Meters;
