//! From records to sinks: who does it, in which order, and what was lost on the way.
//!
//! [`pipeline`] is the work itself, without a thread of its own. [`worker`] runs it on the one
//! thread of a [`crate::Usage`]; [`exporter`] runs it inside a stock OpenTelemetry processor.

mod assemble;
mod exporter;
mod intervals;
mod outlet;
mod pipeline;
mod plan;
mod worker;

pub use exporter::UsageExporter;

pub(crate) use assemble::Assembly;
pub(crate) use outlet::Outlet;
pub(crate) use pipeline::{Gate, Pipeline};
pub(crate) use plan::{Plan, Progress, Run};
pub(crate) use worker::{Shared, Worker};
