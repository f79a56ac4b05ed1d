//! Turns OTLP's protobuf messages into the attributes that a contract reads.
//!
//! A value of any other shape (bytes, maps, mixed lists) is left out, and so is an attribute without a
//! value.

use opentelemetry::{KeyValue, StringValue, Value};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue as ProtoKeyValue};

/// Returns the readable attributes of a Resource or a span.
pub(crate) fn attributes(attributes: Vec<ProtoKeyValue>) -> Vec<KeyValue> {
    // Nearly all attributes are readable.
    let mut readable = Vec::with_capacity(attributes.len());
    readable.extend(
        attributes
            .into_iter()
            .filter_map(|attribute| Some(KeyValue::new(attribute.key, value(attribute.value?)?))),
    );
    readable
}

/// Returns OTLP's time as the contract has it. Unit: nanoseconds since the Unix epoch.
pub(crate) fn nanos(time_unix_nano: u64) -> i64 {
    i64::try_from(time_unix_nano).unwrap_or(i64::MAX)
}

/// Returns the value under `key`, if it is text.
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

/// Reads a list of one type. An empty list becomes a list of texts, because its type does not travel.
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

/// Takes every value, or returns `None` if one of them has another type.
fn each<T>(
    values: impl Iterator<Item = Option<Any>>,
    take: impl Fn(Any) -> Option<T>,
) -> Option<Vec<T>> {
    values.map(|any| take(any?)).collect()
}
