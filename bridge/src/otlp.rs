//! From OTLP's messages to the Resources and spans that contracts are read from.
//!
//! In: protobuf structs from anywhere. Out: values of the types an attribute can have; a value of
//! any other shape (bytes, maps, mixed lists) is left out, and so is an attribute without a value.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, SpanId, StringValue, TraceId, Value};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue as ProtoKeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

/// The attributes that can be read, of a Resource or a span.
pub(crate) fn attributes(attributes: Vec<ProtoKeyValue>) -> Vec<KeyValue> {
    // Nearly all can.
    let mut readable = Vec::with_capacity(attributes.len());
    readable.extend(
        attributes
            .into_iter()
            .filter_map(|attribute| Some(KeyValue::new(attribute.key, value(attribute.value?)?))),
    );
    readable
}

/// The span as a contract reads it: kind, end time and attributes. Events, links and status are
/// not read; they have no place in a flat message.
pub(crate) fn span(kind: String, span: Span) -> SpanData {
    span_data(kind, time(span.end_time_unix_nano), attributes(span.attributes))
}

/// A span that has nothing but what a flat message is made from.
pub(crate) fn span_data(kind: String, time: SystemTime, attributes: Vec<KeyValue>) -> SpanData {
    SpanData {
        span_context: SpanContext::new(
            TraceId::INVALID,
            SpanId::INVALID,
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        ),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: kind.into(),
        start_time: time,
        end_time: time,
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::default(),
    }
}

/// The wall time `nanos` after the Unix epoch.
pub(crate) fn time(nanos: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_nanos(nanos)).unwrap_or(UNIX_EPOCH)
}

/// The text under `key`, if it is text.
pub(crate) fn text<'a>(attributes: &'a [ProtoKeyValue], key: &str) -> Option<&'a str> {
    let found = attributes.iter().rev().find(|attribute| attribute.key == key)?;
    match &found.value.as_ref()?.value {
        Some(Any::StringValue(text)) => Some(text),
        _ => None,
    }
}

fn value(any: AnyValue) -> Option<Value> {
    Some(match any.value? {
        Any::BoolValue(value) => Value::Bool(value),
        Any::DoubleValue(value) => Value::F64(value),
        Any::IntValue(value) => Value::I64(value),
        Any::StringValue(value) => Value::String(value.into()),
        Any::ArrayValue(list) => return array(list),
        _ => return None,
    })
}

/// A list of one type. An empty one counts as a list of texts: its type does not travel.
fn array(list: ArrayValue) -> Option<Value> {
    let values = list.values.into_iter().map(|any| any.value);
    Some(match values.clone().next().flatten() {
        Some(Any::BoolValue(_)) => Value::Array(
            each(values, |any| if let Any::BoolValue(v) = any { Some(v) } else { None })?.into(),
        ),
        Some(Any::DoubleValue(_)) => Value::Array(
            each(values, |any| if let Any::DoubleValue(v) = any { Some(v) } else { None })?.into(),
        ),
        Some(Any::IntValue(_)) => Value::Array(
            each(values, |any| if let Any::IntValue(v) = any { Some(v) } else { None })?.into(),
        ),
        Some(Any::StringValue(_)) | None => {
            let words = each(values, |any| match any {
                Any::StringValue(text) => Some(StringValue::from(text)),
                _ => None,
            })?;
            Value::Array(words.into())
        }
        Some(_) => return None,
    })
}

/// Every value through `take`, or nothing if one of them has another type.
fn each<T>(
    values: impl Iterator<Item = Option<Any>>,
    take: impl Fn(Any) -> Option<T>,
) -> Option<Vec<T>> {
    values.map(|any| take(any?)).collect()
}
