//! Reads Resources and spans of the OpenTelemetry SDK by a contract, and makes them again.

use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceState};
use opentelemetry::{InstrumentationScope, TraceFlags, TraceId};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use otel_usage::schema::{CompiledContract, Loss, Record, ResourceValues, transport};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns the attributes of a Resource as a list.
pub fn attributes(resource: &Resource) -> Vec<KeyValue> {
    resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect()
}

/// Reads the declared attributes of a Resource.
pub fn resource(contract: &CompiledContract, resource: &Resource) -> ResourceValues {
    contract.read_resource(&attributes(resource))
}

/// Reads the record that a span carries.
pub fn span(
    contract: &CompiledContract,
    span: &SpanData,
    lost: &mut dyn FnMut(Loss, &str),
) -> Option<Record> {
    let nanos = span.end_time.duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let nanos = i64::try_from(nanos).unwrap_or(i64::MAX);
    contract.read_record(&span.name, &span.attributes, nanos, lost)
}

/// Makes the Resource and the span that an exporter would send.
pub fn exported(
    contract: &CompiledContract,
    resource: &ResourceValues,
    record: &Record,
) -> (Resource, SpanData) {
    let attributes = contract.resource_attributes(resource);
    let resource = Resource::builder_empty().with_attributes(attributes).build();
    let nanos = Duration::from_nanos(u64::try_from(record.time_nanos()).unwrap_or(0));
    let time: SystemTime = UNIX_EPOCH + nanos;
    let span = SpanData {
        span_context: SpanContext::new(
            TraceId::from(1),
            SpanId::from(1),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        ),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: record.kind(contract).to_owned().into(),
        start_time: time,
        end_time: time,
        attributes: contract.span_attributes(record, true),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder(transport::SCOPE).build(),
    };
    (resource, span)
}
