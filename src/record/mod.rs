//! The engine's side: how a report is recorded.
//!
//! Two doors lead to one private tracer provider: the handle ([`Usage`]) and the `tracing` layer
//! ([`Usage::layer`]). Recording never blocks, never panics, returns nothing, and does no I/O; the
//! worker thread does everything else. The global provider and the engine's own traces are not
//! touched.

mod builder;
mod handle;
mod layer;
#[cfg(test)]
mod machines;
mod preview;
mod processor;

pub use builder::Builder;
pub use handle::{Flush, Usage};
pub use preview::RunPreview;
