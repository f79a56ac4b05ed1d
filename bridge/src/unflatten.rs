//! The way back: from a flat JSON object to the Resource and the span that would give it.
//!
//! In: a contract's message and an object that an engine posted itself. Out: attributes of declared
//! fields with the declared JSON type, nothing else; so what is flat goes the same way as OTLP and
//! meets the same sanitizers, null rules and closed world.

use std::time::SystemTime;

use opentelemetry::{KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::SpanData;
use otel_usage::schema::{Field, MessageSpec, Source, Type};
use serde_json::{Map, Value as Json};

use crate::otlp;

/// The Resource's attributes and the span behind `object`. `received`: its time where it says none.
pub(crate) fn unflatten(
    message: &MessageSpec,
    object: &Map<String, Json>,
    received: SystemTime,
) -> (Vec<KeyValue>, SpanData) {
    let (mut resource, mut record, mut time) = (Vec::new(), Vec::new(), received);
    for field in message.fields.iter() {
        let Some(json) = object.get(field.name.as_ref()) else { continue };
        match &field.source {
            Source::Time => {
                if let Some(nanos) = json.as_u64().filter(|nanos| i64::try_from(*nanos).is_ok()) {
                    time = otlp::time(nanos);
                }
            }
            Source::Record(name) => {
                record
                    .extend(typed(json, field).map(|value| KeyValue::new(name.to_string(), value)));
            }
            Source::Resource(name) => {
                resource
                    .extend(typed(json, field).map(|value| KeyValue::new(name.to_string(), value)));
            }
            Source::ResourceOr { name, unless, .. } => {
                // The engine has decided already what stands in for what; nothing does here.
                resource.push(KeyValue::new(unless.to_string(), "engine"));
                resource
                    .extend(typed(json, field).map(|value| KeyValue::new(name.to_string(), value)));
            }
            Source::ResourceJoined(names) => {
                let parts: Vec<&str> = json.as_str().unwrap_or("").split(',').collect();
                if parts.len() == names.len() {
                    let known = names.iter().zip(parts).filter(|(_, part)| !part.is_empty());
                    resource.extend(
                        known.map(|(name, part)| KeyValue::new(name.to_string(), part.to_owned())),
                    );
                }
            }
            Source::ResourceMapped(name, words) => {
                let word = words.iter().find(|(_, wire)| json.as_str() == Some(wire.as_ref()));
                resource.extend(
                    word.map(|(word, _)| KeyValue::new(name.to_string(), word.to_string())),
                );
            }
            // A constant says itself.
            _ => {}
        }
    }
    (resource, otlp::span_data(message.record.to_string(), time, record))
}

/// `json` if it has the declared type: an engine that sends text for a number has made a mistake,
/// and what it sends may be anything.
fn typed(json: &Json, field: &Field) -> Option<Value> {
    Some(match (field.ty, json) {
        (Type::Bool, Json::Bool(value)) => Value::Bool(*value),
        (Type::Float, Json::Number(number)) => Value::F64(number.as_f64()?),
        (Type::Histogram, Json::Object(counts)) => {
            let count = |bound: &f64| counts.get(&bound.to_string()).and_then(Json::as_i64);
            let counts = field.bounds.iter().map(|bound| count(bound).unwrap_or(0));
            Value::Array(counts.collect::<Vec<_>>().into())
        }
        (Type::Int, Json::Number(number)) => Value::I64(number.as_i64()?),
        (Type::Str, Json::String(text)) => Value::String(text.clone().into()),
        (Type::Ints, Json::Array(list)) => {
            Value::Array(list.iter().map(Json::as_i64).collect::<Option<Vec<_>>>()?.into())
        }
        (Type::Strs, Json::Array(list)) => {
            let words = list.iter().map(|word| Some(StringValue::from(word.as_str()?.to_owned())));
            Value::Array(words.collect::<Option<Vec<_>>>()?.into())
        }
        _ => return None,
    })
}
