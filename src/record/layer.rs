//! The `tracing` door: spans and events of target `otel_usage` become records.
//!
//! Spans go through `tracing-opentelemetry`, in a registry of our own: two OpenTelemetry layers that
//! see the same span of one registry panic in the engine's thread, and an engine may well have one.
//! In our registry there is no current span either, so no report inherits the engine's trace.
//! Events become records at once. Everything else is never seen: the filter answers per callsite.

use std::any::TypeId;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use opentelemetry::trace::{Span as _, SpanBuilder, Tracer as _};
use opentelemetry::{Context, KeyValue, Value};
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

use crate::clock::{Clock, system_time};
use crate::export::Shared;
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

/// A [`UsageLayer`] behind [`OurTarget`]: what an engine puts into its subscriber.
///
/// `Filtered` looks every span up in the registry when it is entered, left or closed, to learn
/// whether it passed the filter. We do not care who enters or leaves a span, and can tell without
/// looking when none of ours is open. Beside another layer we then add to a foreign span a fifth of
/// what we would (`docs/performance.md`).
pub(crate) struct OurDoor<S>(Filtered<UsageLayer, OurTarget, S>);

impl<S> OurDoor<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    pub(crate) fn new(layer: UsageLayer) -> Self {
        Self(layer.with_filter(OurTarget))
    }
}

/// Everything goes to `Filtered`, but for what the layer behind it has no use for.
impl<S> Layer<S> for OurDoor<S>
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
        reason = "the registry asks in this way whether a layer has a filter of its own, and would \
                  otherwise take our `never` for everybody's"
    )]
    unsafe fn downcast_raw(&self, id: TypeId) -> Option<*const ()> {
        if id == TypeId::of::<Self>() {
            return Some(std::ptr::from_ref(self).cast());
        }
        // SAFETY: the caller's promises are those that `Filtered` asks for, and what it points at
        // is a part of `self`.
        unsafe { self.0.downcast_raw(id) }
    }
}

/// Turns spans and events of our target into records.
pub(crate) struct UsageLayer {
    contract: Arc<CompiledContract>,
    shared: Arc<Shared>,
    tracer: SdkTracer,
    clock: Clock,
    spans: Layered<OpenTelemetryLayer<Registry, SdkTracer>, Registry>,
    /// Spans of ours that are not closed yet.
    open: AtomicUsize,
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
        let spans = Registry::default().with(layer);
        Self { contract, shared, tracer, clock, spans, open: AtomicUsize::new(0) }
    }

    /// Whether a span that is recorded to or closed could be one of ours. Relaxed: who holds a span
    /// has it from the thread that counted it.
    fn has_open_spans(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }

    /// Tells the layers of several `Usage`s in one registry apart.
    fn key(&self) -> usize {
        Arc::as_ptr(&self.shared).addr()
    }

    /// Whether a span or event of this name is for us. Another contract's kind is its business.
    fn knows(&self, name: &'static str) -> bool {
        let known = self.contract.has_record(name);
        if !known {
            // Named by the worker: an event of ours from inside a layer would disturb the filters of
            // the engine's other layers for the event they are looking at.
            self.shared.unknown(name);
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
        self.open.fetch_add(1, Ordering::Relaxed);
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
            self.open.fetch_sub(1, Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use tracing::{Level, info_span, span};
    use tracing_subscriber::prelude::*;

    use super::*;
    use crate::schema::lmcache;
    use crate::{Env, Outcome, Report, Sink, Usage};

    #[derive(Debug, Clone, Default)]
    struct Kept(Arc<Mutex<Vec<String>>>);

    impl Sink for Kept {
        fn name(&self) -> &str {
            "kept"
        }

        fn is_network(&self) -> bool {
            false
        }

        fn take(&mut self, report: &Report) -> Outcome {
            if let Some(message) = report.message() {
                self.0.lock().unwrap().push(message.to_json());
            }
            Outcome::Delivered
        }
    }

    /// An engine's own layer, which counts what it sees.
    #[derive(Debug, Clone, Default)]
    struct Other(Arc<Mutex<Vec<&'static str>>>);

    impl<S: Subscriber> Layer<S> for Other {
        fn on_new_span(&self, attrs: &Attributes<'_>, _: &Id, _: LayerContext<'_, S>) {
            self.0.lock().unwrap().push(attrs.metadata().name());
        }

        fn on_close(&self, _: Id, _: LayerContext<'_, S>) {
            self.0.lock().unwrap().push("closed");
        }
    }

    fn usage(kept: &Kept) -> Usage {
        Usage::builder(&lmcache::V1)
            .with_sample_data()
            .with_environment(Env::given([
                ("OTEL_USAGE_MODE", "on"),
                ("OTEL_USAGE_EXPORTERS", "none"),
                ("HOME", "/dev/null"),
            ]))
            .with_sink(kept.clone())
            .init()
            .unwrap()
    }

    /// A span of ours that is filled later, and closed while and after foreign spans are open.
    fn speak() {
        let engine = info_span!(target: "engine", "step");
        let ours = span!(
            target: "otel_usage", Level::INFO, "lmcache.engine",
            lmcache.chunk_size = tracing::field::Empty,
        );
        ours.record("lmcache.chunk_size", 77);
        engine.in_scope(|| drop(info_span!(target: "engine", "inner")));
        ours.in_scope(|| {});
        drop(engine);
        drop(ours);
        drop(info_span!(target: "engine", "late"));
    }

    #[test]
    fn spans_arrive_whoever_else_listens() {
        for beside in [false, true] {
            let (kept, other) = (Kept::default(), Other::default());
            let usage = usage(&kept);
            let subscriber = tracing_subscriber::registry()
                .with(beside.then(|| other.clone()))
                .with(usage.layer());
            tracing::subscriber::with_default(subscriber, speak);
            let _ = usage.flush(Duration::from_secs(20));
            let messages = kept.0.lock().unwrap().clone();
            let engine = messages.iter().find(|json| json.contains("EngineMessage")).unwrap();
            assert!(engine.contains("\"chunksize\": 77"), "{engine}");
            if beside {
                let seen = other.0.lock().unwrap().clone();
                let spans = [
                    "step",
                    "lmcache.engine",
                    "inner",
                    "closed",
                    "closed",
                    "closed",
                    "late",
                    "closed",
                ];
                assert_eq!(seen, spans);
            }
        }
    }
}
