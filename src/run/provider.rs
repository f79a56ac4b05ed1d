//! The private tracer provider, whose span processor puts every ended span into the queue.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    Sampler, SdkTracerProvider, Span, SpanData, SpanLimits, SpanProcessor,
};

use super::Queue;
use super::bounds::{ATTRIBUTES, EVENTS};

#[derive(Debug)]
struct ToQueue(Arc<Queue>);

impl SpanProcessor for ToQueue {
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

/// Makes the provider.
///
/// Sampler, limits and Resource are set in code, because a sampler or a limit that the operator's
/// `OTEL_*` variables set for the engine's traces must not cut usage records.
pub(crate) fn provider(queue: Arc<Queue>) -> SdkTracerProvider {
    let limits = SpanLimits {
        max_events_per_span: EVENTS as u32,
        max_attributes_per_span: ATTRIBUTES as u32,
        max_links_per_span: 1,
        max_attributes_per_event: ATTRIBUTES as u32,
        max_attributes_per_link: 0,
    };
    SdkTracerProvider::builder()
        .with_sampler(Sampler::AlwaysOn)
        .with_span_limits(limits)
        .with_resource(Resource::builder_empty().build())
        .with_span_processor(ToQueue(queue))
        .build()
}
