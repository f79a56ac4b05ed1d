//! The exporter for people who assemble their own pipeline: `SpanExporter` of the OpenTelemetry SDK.
//!
//! In: batches of spans from a stock processor. Out: what [`crate::Usage`] sends, by the same
//! pipeline. It probes at its first export. A stock provider has no timer for us, so heartbeats
//! and the end of the run are the caller's to record.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use super::Pipeline;
use crate::loss::Loss;
use crate::stats::Stats;

/// Exports usage records through a stock `SpanProcessor`.
///
/// Made by [`crate::Builder::exporter`]. Does nothing when collection is off. Spans that are not
/// records of the contract are counted and dropped, so it may share a provider with other exporters.
pub struct UsageExporter {
    /// `None` when collection is off.
    pipeline: Option<Mutex<Pipeline>>,
    process: u32,
}

/// Whether it does anything; what it was told by the engine and the operator has no business in a log.
impl fmt::Debug for UsageExporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsageExporter").field("enabled", &self.is_enabled()).finish_non_exhaustive()
    }
}

impl UsageExporter {
    pub(crate) fn new(pipeline: Option<Pipeline>) -> Self {
        Self { pipeline: pipeline.map(Mutex::new), process: std::process::id() }
    }

    /// Whether anything will be exported.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.pipeline.is_some()
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.with(|pipeline| pipeline.counters().snapshot()).unwrap_or_default()
    }

    fn with<T>(&self, part: impl FnOnce(&mut Pipeline) -> T) -> Option<T> {
        if std::process::id() != self.process {
            return None;
        }
        let mut pipeline = self.pipeline.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        // A panic would end the worker of a stock processor for good.
        catch_unwind(AssertUnwindSafe(|| part(&mut pipeline))).ok()
    }

    fn send(&self, hurry: bool) -> OTelSdkResult {
        let pending = self.with(|pipeline| {
            pipeline.pump(hurry);
            pipeline.pending()
        });
        match pending {
            None | Some(0) => Ok(()),
            Some(pending) => Err(OTelSdkError::InternalFailure(format!(
                "{pending} usage messages wait for their server"
            ))),
        }
    }
}

impl SpanExporter for UsageExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        let taken = self.with(|pipeline| {
            for span in &batch {
                pipeline.accept(span);
            }
        });
        if taken.is_none() {
            self.with(|pipeline| pipeline.counters().lost.add(Loss::Panicked, count));
        }
        self.send(false)
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        self.send(true)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.send(true)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.with(|pipeline| {
            let plan = pipeline.plan();
            let known =
                plan.contract.contract().attributes.iter().map(|attribute| attribute.name.as_ref());
            // Only what an engine may say about itself: the stock `service.name` holds the name of
            // the executable, and its instance id may name a pod.
            let mut attributes = Vec::new();
            for name in known.chain(["service.version"]) {
                if let Some(value) = resource.get(&opentelemetry::Key::new(name.to_owned())) {
                    attributes.push((name.to_owned(), value));
                }
            }
            pipeline.adopt(attributes);
        });
    }
}
