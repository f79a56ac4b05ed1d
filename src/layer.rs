//! The `tracing` layer: spans and events of target `otel_usage` become records.
//!
//! Spans go through `tracing-opentelemetry` in a registry of our own, because two OpenTelemetry layers
//! that see the same span of one registry panic in the engine's thread. Our registry has no current span
//! either, so no record inherits the engine's trace. Events become records at once. A filter answers for
//! each callsite, so everything else costs nothing.

use std::any::TypeId;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::trace::SdkTracer;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Metadata, Subscriber};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::filter::{Filtered, LevelFilter};
use tracing_subscriber::layer::{Context as LayerContext, Filter, Layered, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use crate::clock::Clock;
use crate::run::{Queue, shorten_text};
use otel_usage_schema::CompiledContract;

/// The target of our spans and events. Targets that only begin with it are foreign.
const TARGET: &str = "otel_usage";

/// Lets our target through and nothing else.
///
/// Foreign callsites get `never` and cost nothing. Ours get `sometimes` and not `always`, because
/// `tracing` keeps the answer of a per-layer filter in thread-local state, and a `log::log_enabled!` in
/// between would make the next of our events disappear.
#[derive(Debug, Clone, Copy)]
struct OurTarget;

impl<S> Filter<S> for OurTarget {
    fn enabled(&self, metadata: &Metadata<'_>, _: &LayerContext<'_, S>) -> bool {
        metadata.target() == TARGET
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.target() == TARGET { Interest::sometimes() } else { Interest::never() }
    }
}

/// A [`UsageLayer`] with [`OurTarget`] as its filter: the layer that an engine puts into its subscriber.
///
/// `Filtered` looks every span up in the registry when it is entered, left or closed, to learn whether it
/// passed the filter. This layer does not need enter and exit, and it skips the look-up while none of our
/// spans is open. Beside another layer a foreign span then costs a fifth of what it would.
pub(crate) struct FilteredLayer<S>(Filtered<UsageLayer, OurTarget, S>);

impl<S> FilteredLayer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    pub(crate) fn new(layer: UsageLayer) -> Self {
        Self(layer.with_filter(OurTarget))
    }
}

/// Forwards to `Filtered`, apart from calls that [`UsageLayer`] does not need.
impl<S> Layer<S> for FilteredLayer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_register_dispatch(&self, subscriber: &Dispatch) {
        self.0.on_register_dispatch(subscriber);
    }

    fn on_layer(&mut self, subscriber: &mut S) {
        self.0.on_layer(subscriber);
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        self.0.register_callsite(metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>, ctx: LayerContext<'_, S>) -> bool {
        self.0.enabled(metadata, ctx)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.0.max_level_hint()
    }

    fn event_enabled(&self, event: &Event<'_>, ctx: LayerContext<'_, S>) -> bool {
        self.0.event_enabled(event, ctx)
    }

    fn on_new_span(&self, attrs: &Attributes<'_>, id: &Id, ctx: LayerContext<'_, S>) {
        self.0.on_new_span(attrs, id, ctx);
    }

    fn on_event(&self, event: &Event<'_>, ctx: LayerContext<'_, S>) {
        self.0.on_event(event, ctx);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: LayerContext<'_, S>) {
        if self.0.inner().has_open_spans() {
            self.0.on_record(id, values, ctx);
        }
    }

    fn on_close(&self, id: Id, ctx: LayerContext<'_, S>) {
        if self.0.inner().has_open_spans() {
            self.0.on_close(id, ctx);
        }
    }

    #[expect(
        unsafe_code,
        reason = "the registry asks in this way whether a layer has a filter of its own; without an \
                  answer our `never` would apply to every layer"
    )]
    unsafe fn downcast_raw(&self, id: TypeId) -> Option<*const ()> {
        if id == TypeId::of::<Self>() {
            return Some(std::ptr::from_ref(self).cast());
        }
        // SAFETY: the caller gives the promises that `Filtered` asks for, and the result points at a
        // part of `self`.
        unsafe { self.0.downcast_raw(id) }
    }
}

/// Turns spans and events of our target into records.
pub(crate) struct UsageLayer {
    contract: Arc<CompiledContract>,
    queue: Arc<Queue>,
    clock: Clock,
    spans: Layered<OpenTelemetryLayer<Registry, SdkTracer>, Registry>,
    /// The number of our spans that are not closed yet.
    open: AtomicUsize,
}

/// The spans in our registries that belong to a span of the engine's registry: one for each `Usage`
/// whose contract has its kind.
#[derive(Debug, Default)]
struct InnerSpans(Vec<(usize, Id)>);

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
        queue: Arc<Queue>,
        tracer: SdkTracer,
        clock: Clock,
    ) -> Self {
        let layer = OpenTelemetryLayer::new(tracer)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false);
        let spans = Registry::default().with(layer);
        Self { contract, queue, clock, spans, open: AtomicUsize::new(0) }
    }

    /// Returns whether a span that is recorded to or closed may be ours. Relaxed ordering suffices,
    /// because passing a span across threads already synchronises them.
    fn has_open_spans(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }

    /// Returns a key that tells the layers of several `Usage`s in one registry apart.
    fn key(&self) -> usize {
        Arc::as_ptr(&self.queue).addr()
    }

    /// Returns whether the contract has this kind. Counts an unknown one, and any in a forked child.
    fn knows(&self, name: &'static str) -> bool {
        if self.queue.is_forked() {
            self.queue.count_forked();
            return false;
        }
        let known = self.contract.has_record(name);
        if !known {
            self.queue.unknown(name);
        }
        known
    }

    fn ours<S>(&self, id: &Id, ctx: &LayerContext<'_, S>) -> Option<Id>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let span = ctx.span(id)?;
        let extensions = span.extensions();
        let inner = extensions.get::<InnerSpans>()?;
        inner.0.iter().find(|(key, _)| *key == self.key()).map(|(_, id)| id.clone())
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
        // The span is a root, because the ids of the engine's registry mean nothing in ours.
        let ours = self.spans.new_span(&Attributes::new_root(attrs.metadata(), attrs.values()));
        self.open.fetch_add(1, Ordering::Relaxed);
        let mut extensions = span.extensions_mut();
        match extensions.get_mut::<InnerSpans>() {
            Some(inner) => inner.0.push((self.key(), ours)),
            None => extensions.insert(InnerSpans(vec![(self.key(), ours)])),
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
        self.queue.record(event.metadata().name().into(), fields.0, &self.clock);
    }

    fn on_close(&self, id: Id, ctx: LayerContext<'_, S>) {
        if let Some(ours) = self.ours(&id, &ctx) {
            self.open.fetch_sub(1, Ordering::Relaxed);
            self.spans.try_close(ours);
        }
    }
}

/// Collects the fields of an event as attributes.
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
        self.push(field, Value::String(shorten_text(value).to_owned().into()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.push(field, Value::String(format!("{value:?}").into()));
    }
}
