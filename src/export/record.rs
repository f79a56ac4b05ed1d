//! A record on its way to an exporter.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use otel_usage_schema::{
    CompiledContract, Loss, Message, Record, ResourceValues, flatten, transport,
};

use crate::clock::{Clock, system_time};

/// A record with its contract and its Resource.
///
/// An exporter sends it as a flat [`Message`], or as a span with a Resource.
#[derive(Debug, Clone)]
pub struct ExportRecord {
    contract: Arc<CompiledContract>,
    resource: Arc<ResourceValues>,
    record: Arc<SpanRecord>,
    direct: bool,
    /// The losses in this run before the record was made. Only a span carries it.
    losses: Arc<BTreeMap<Loss, u64>>,
}

/// A record and the identity of the span that carries it.
#[derive(Debug)]
pub(crate) struct SpanRecord {
    pub(crate) record: Record,
    pub(crate) ids: SpanIds,
    pub(crate) start_nanos: i64,
    /// The span of the run, to which the record's span is linked.
    pub(crate) run: Option<SpanIds>,
}

/// The identifiers of a span. Each record is the root of a trace of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpanIds {
    pub(crate) trace: TraceId,
    pub(crate) span: SpanId,
}

impl SpanIds {
    pub(crate) fn random(clock: &Clock) -> Self {
        let (trace, span) = clock.span_ids();
        Self { trace, span }
    }

    /// Returns a span with these identifiers: the root of a trace, without events and links.
    pub(crate) fn span(
        self,
        kind: Cow<'static, str>,
        start_nanos: i64,
        end_nanos: i64,
        attributes: Vec<KeyValue>,
    ) -> SpanData {
        SpanData {
            span_context: self.context(),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: kind,
            start_time: system_time(start_nanos),
            end_time: system_time(end_nanos),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::default(),
        }
    }

    fn context(self) -> SpanContext {
        SpanContext::new(self.trace, self.span, TraceFlags::SAMPLED, false, TraceState::default())
    }
}

impl ExportRecord {
    /// `direct` tells a bridge that this process posts to the usage server itself.
    pub(crate) fn new(
        contract: Arc<CompiledContract>,
        resource: Arc<ResourceValues>,
        record: SpanRecord,
        direct: bool,
    ) -> Self {
        Self { contract, resource, record: Arc::new(record), direct, losses: Arc::default() }
    }

    /// Adds the counts of what was lost so far.
    #[must_use]
    pub(crate) fn with_losses(mut self, losses: BTreeMap<Loss, u64>) -> Self {
        if !losses.is_empty() {
            self.losses = Arc::new(losses);
        }
        self
    }

    /// Returns the flat message, or `None` for the span of the whole run.
    #[must_use]
    pub fn message(&self) -> Option<Message<'_>> {
        flatten(&self.contract, &self.resource, &self.record.record)
    }

    /// Returns the record.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record.record
    }

    /// Returns the record's kind, for example `lmcache.engine`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.record().kind(&self.contract)
    }

    /// Returns the span that OTLP carries. It holds declared and transport attributes only.
    #[must_use]
    pub fn span(&self) -> SpanData {
        let SpanRecord { record, ids, start_nanos, run } = &*self.record;
        let mut attributes = self.contract.span_attributes(record, self.direct);
        attributes.extend(self.losses.iter().filter_map(|(loss, count)| {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            Some(KeyValue::new(loss.attribute()?, count))
        }));
        let kind = self.kind().to_owned();
        let mut span = ids.span(kind.into(), *start_nanos, record.time_nanos(), attributes);
        span.links.links.extend(run.map(|run| Link::with_context(run.context())));
        span.instrumentation_scope = InstrumentationScope::builder(transport::SCOPE)
            .with_version(env!("CARGO_PKG_VERSION"))
            .with_schema_url(transport::SCHEMA_URL)
            .build();
        span
    }

    /// Returns the Resource that OTLP carries. It holds declared attributes only.
    #[must_use]
    pub fn resource(&self) -> Resource {
        let attributes = self.contract.resource_attributes(&self.resource);
        Resource::builder_empty().with_schema_url(attributes, transport::SCHEMA_URL).build()
    }

    /// Returns the identity of the record, which each delivery of it carries.
    #[cfg(feature = "http")]
    pub(crate) fn identity(&self) -> [u8; 16] {
        self.record.ids.trace.to_bytes()
    }

    /// Returns the Resource attributes in the contract's order.
    #[cfg(feature = "otlp")]
    pub(crate) fn resource_attributes(&self) -> Vec<KeyValue> {
        self.contract.resource_attributes(&self.resource).collect()
    }
}
