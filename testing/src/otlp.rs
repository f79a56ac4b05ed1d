//! Encodes a Resource and a span as OTLP, and decodes such bytes as another process would.

use opentelemetry::trace::{SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue as ProtoKeyValue};
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use prost::Message as _;
use std::time::{Duration, UNIX_EPOCH};

/// Encodes a request with one span.
pub fn encode(resource: &Resource, span: SpanData) -> Vec<u8> {
    let resource = resource.into();
    let resource_spans = group_spans_by_resource_and_scope(vec![span], &resource);
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// Decodes every span of a request, with its Resource.
pub fn decode(bytes: &[u8]) -> Vec<(Resource, SpanData)> {
    let request = ExportTraceServiceRequest::decode(bytes).unwrap();
    let mut found = Vec::new();
    for group in request.resource_spans {
        let attributes = group.resource.unwrap_or_default().attributes;
        let resource = Resource::builder_empty()
            .with_attributes(attributes.into_iter().map(attribute))
            .build();
        for scope in group.scope_spans {
            let name = scope.scope.unwrap_or_default().name;
            for span in scope.spans {
                let time = |nanos| UNIX_EPOCH + Duration::from_nanos(nanos);
                let mut links = SpanLinks::default();
                links.links.extend(span.links.into_iter().map(|link| {
                    opentelemetry::trace::Link::with_context(context(&link.trace_id, &link.span_id))
                }));
                let data = SpanData {
                    span_context: context(&span.trace_id, &span.span_id),
                    parent_span_id: span
                        .parent_span_id
                        .try_into()
                        .map_or(opentelemetry::SpanId::INVALID, opentelemetry::SpanId::from_bytes),
                    parent_span_is_remote: false,
                    span_kind: SpanKind::Internal,
                    name: span.name.into(),
                    start_time: time(span.start_time_unix_nano),
                    end_time: time(span.end_time_unix_nano),
                    attributes: span.attributes.into_iter().map(attribute).collect(),
                    dropped_attributes_count: span.dropped_attributes_count,
                    events: SpanEvents::default(),
                    links,
                    status: Status::Unset,
                    instrumentation_scope: InstrumentationScope::builder(name.clone()).build(),
                };
                found.push((resource.clone(), data));
            }
        }
    }
    found
}

fn context(trace: &[u8], span: &[u8]) -> SpanContext {
    SpanContext::new(
        opentelemetry::TraceId::from_bytes(trace.try_into().unwrap()),
        opentelemetry::SpanId::from_bytes(span.try_into().unwrap()),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    )
}

fn attribute(attribute: ProtoKeyValue) -> KeyValue {
    KeyValue::new(attribute.key, value(attribute.value.unwrap()))
}

fn value(any: AnyValue) -> Value {
    match any.value.unwrap() {
        Any::BoolValue(value) => Value::Bool(value),
        Any::IntValue(value) => Value::I64(value),
        Any::DoubleValue(value) => Value::F64(value),
        Any::StringValue(value) => Value::String(value.into()),
        Any::ArrayValue(array) => {
            let values: Vec<Value> = array.values.into_iter().map(value).collect();
            match values.first() {
                Some(Value::I64(_)) => {
                    let numbers: Vec<i64> = values
                        .iter()
                        .map(
                            |value| {
                                if let Value::I64(n) = value { *n } else { panic!("mixed list") }
                            },
                        )
                        .collect();
                    Value::Array(numbers.into())
                }
                _ => {
                    let words: Vec<StringValue> =
                        values.iter().map(|value| value.as_str().into_owned().into()).collect();
                    Value::Array(words.into())
                }
            }
        }
        other => panic!("unexpected value {other:?}"),
    }
}
