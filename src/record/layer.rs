//! The `tracing` door: spans and events of target `otel_usage` become records.
//!
//! Spans go through `tracing-opentelemetry`, in a registry of our own: two OpenTelemetry layers that
//! see the same span of one registry panic in the engine's thread, and an engine may well have one.
//! In our registry there is no current span either, so no report inherits the engine's trace.
//! Events become records at once. Everything else is never seen: the filter answers per callsite.

use std::sync::Arc;

use opentelemetry::trace::{Span as _, SpanBuilder, Tracer as _};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::SdkTracer;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::layer::{Context as LayerContext, Filter, Layered, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use crate::clock::{Clock, system_time};
use crate::export::Shared;
use crate::loss::Loss;
use crate::schema::CompiledContract;

/// Spans and events of this target are meant for us; the prefix does not count.
pub(crate) const TARGET: &str = "otel_usage";

/// Lets our target through and nothing else.
///
/// For foreign callsites the answer is `never`, so they cost nothing. For ours it is `sometimes`, not
/// `always`: `tracing` remembers the answer of a per-layer filter in thread-local state, and a
/// `log::log_enabled!` in between would make the next of our events disappear.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OurTarget;

impl<S> Filter<S> for OurTarget {
    fn enabled(&self, metadata: &Metadata<'_>, _: &LayerContext<'_, S>) -> bool {
        metadata.target() == TARGET
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.target() == TARGET { Interest::sometimes() } else { Interest::never() }
    }
}

/// Turns spans and events of our target into records.
pub(crate) struct UsageLayer {
    contract: Arc<CompiledContract>,
    shared: Arc<Shared>,
    tracer: SdkTracer,
    clock: Clock,
    spans: Layered<OpenTelemetryLayer<Registry, SdkTracer>, Registry>,
}

/// Our spans behind a span of the engine's registry: one for each `Usage` that has its kind.
#[derive(Debug, Default)]
struct Behind(Vec<(usize, Id)>);

impl std::fmt::Debug for UsageLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UsageLayer")
            .field("contract", &self.contract.contract().id)
            .finish_non_exhaustive()
    }
}

impl UsageLayer {
    pub(crate) fn new(
        contract: Arc<CompiledContract>,
        shared: Arc<Shared>,
        tracer: SdkTracer,
        clock: Clock,
    ) -> Self {
        let layer = OpenTelemetryLayer::new(tracer.clone())
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false);
        Self { contract, shared, tracer, clock, spans: Registry::default().with(layer) }
    }

    /// Tells the layers of several `Usage`s in one registry apart.
    fn key(&self) -> usize {
        Arc::as_ptr(&self.shared).addr()
    }

    /// Whether a span or event of this name is for us. Another contract's kind is its business.
    fn knows(&self, name: &str) -> bool {
        if self.shared.is_forked() {
            return false;
        }
        let known = self.contract.has_record(name);
        if !known {
            crate::export::note(&self.shared.counters, Loss::UnknownRecord, name);
        }
        known
    }

    fn ours<S>(&self, id: &Id, ctx: &LayerContext<'_, S>) -> Option<Id>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let span = ctx.span(id)?;
        let extensions = span.extensions();
        let behind = extensions.get::<Behind>()?;
        behind.0.iter().find(|(key, _)| *key == self.key()).map(|(_, id)| id.clone())
    }
}

impl<S> Layer<S> for UsageLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attrs: &Attributes<'_>, id: &Id, ctx: LayerContext<'_, S>) {
        if !self.knows(attrs.metadata().name()) {
            return;
        }
        let Some(span) = ctx.span(id) else { return };
        // A root: ids of the engine's registry mean nothing in ours.
        let ours = self.spans.new_span(&Attributes::new_root(attrs.metadata(), attrs.values()));
        let mut extensions = span.extensions_mut();
        match extensions.get_mut::<Behind>() {
            Some(behind) => behind.0.push((self.key(), ours)),
            None => extensions.insert(Behind(vec![(self.key(), ours)])),
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: LayerContext<'_, S>) {
        if let Some(ours) = self.ours(id, &ctx) {
            self.spans.record(&ours, values);
        }
    }

    fn on_event(&self, event: &Event<'_>, _: LayerContext<'_, S>) {
        if !self.knows(event.metadata().name()) {
            return;
        }
        let mut fields = Fields(Vec::new());
        event.record(&mut fields);
        let time = system_time(self.clock.unix_nanos());
        let builder = SpanBuilder::from_name(event.metadata().name())
            .with_start_time(time)
            .with_attributes(fields.0);
        self.tracer.build_with_context(builder, &Context::new()).end_with_timestamp(time);
    }

    fn on_close(&self, id: Id, ctx: LayerContext<'_, S>) {
        if let Some(ours) = self.ours(&id, &ctx) {
            self.spans.try_close(ours);
        }
    }
}

/// Fields of an event as attributes.
struct Fields(Vec<KeyValue>);

impl Fields {
    fn push(&mut self, field: &Field, value: Value) {
        self.0.push(KeyValue::new(field.name(), value));
    }
}

impl Visit for Fields {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, Value::Bool(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, Value::F64(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, Value::I64(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.push(field, Value::I64(value)),
            Err(_) => self.push(field, Value::String(value.to_string().into())),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, Value::String(value.to_owned().into()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.push(field, Value::String(format!("{value:?}").into()));
    }
}
