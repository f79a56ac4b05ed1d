//! Counters, gauges, histograms and series, which an engine fills between two messages.
//!
//! `instrument` is what the engine holds, `row` the values of one series, and `registry` the list
//! that the worker empties at each interval.

mod instrument;
mod registry;
mod row;

pub use instrument::{Counter, Gauge, Histogram, Series};

pub(crate) use registry::Instruments;
