//! The span processor of our private provider: hands every ended span to the worker.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    Sampler, SdkTracerProvider, Span, SpanData, SpanLimits, SpanProcessor,
};

use crate::export::Shared;

#[derive(Debug)]
struct ToWorker(Arc<Shared>);

impl SpanProcessor for ToWorker {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Attributes per span: more than any contract has fields, and enough to name those it lacks.
const ATTRIBUTES: u32 = 512;

/// The private provider. Everything that the operator's `OTEL_*` variables could change about it is
/// set here: a sampler or a limit meant for the engine's traces must not cut reports.
pub(super) fn provider(shared: Arc<Shared>) -> SdkTracerProvider {
    let limits = SpanLimits {
        max_events_per_span: 128,
        max_attributes_per_span: ATTRIBUTES,
        max_links_per_span: 1,
        max_attributes_per_event: ATTRIBUTES,
        max_attributes_per_link: 0,
    };
    SdkTracerProvider::builder()
        .with_sampler(Sampler::AlwaysOn)
        .with_span_limits(limits)
        .with_resource(Resource::builder_empty().build())
        .with_span_processor(ToWorker(shared))
        .build()
}
