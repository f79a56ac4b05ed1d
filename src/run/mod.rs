//! From records to exporters: which messages a record causes, when messages are due, and the worker.
//!
//! ```text
//!  provider ─► queue ─► worker ─► pipeline ─► exporters
//!  (spans)    (bounded)  (one      (consent, context, schedule)
//!                        thread)
//! ```
//!
//! [`pipeline`] is the work itself and has no thread. The [`worker`] runs it for a
//! [`Usage`](crate::Usage); a stock span processor runs it for a
//! [`UsageSpanExporter`](crate::export::UsageSpanExporter).

mod bounds;
mod context;
mod life;
mod pipeline;
mod provider;
mod queue;
mod schedule;
mod worker;

/// The locks of the queue, in whose place `tests/model.rs` puts those of a model checker.
mod sync {
    pub(super) use std::sync::{Condvar, Mutex, MutexGuard};
}

pub(crate) use bounds::text as shorten_text;
pub(crate) use context::{Made, RunContext, RunStart};
pub(crate) use pipeline::{Pipeline, PipelineParts};
pub(crate) use provider::provider;
pub(crate) use queue::{Left, Queue};
