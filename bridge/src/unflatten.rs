//! Turns a flat JSON object back into the attributes from which it can be made.
//!
//! Only declared fields with the declared JSON type are read. Flat messages then go the same way as OTLP
//! and meet the same sanitizers, null rules and closed world.

use opentelemetry::{KeyValue, StringValue, Value};
use otel_usage_schema::{Field, MessageSpec, Source, Type};
use serde_json::{Map, Value as Json};

/// The attributes and the time behind a flat message.
#[derive(Debug)]
pub(crate) struct Unflattened {
    pub(crate) resource: Vec<KeyValue>,
    pub(crate) record: Vec<KeyValue>,
    pub(crate) time_nanos: i64,
}

/// Reads `object`. A message without a time gets the time `received`.
pub(crate) fn unflatten(
    message: &MessageSpec,
    object: &Map<String, Json>,
    received: i64,
) -> Unflattened {
    let (mut resource, mut record, mut time_nanos) = (Vec::new(), Vec::new(), received);
    for field in message.fields.iter() {
        let Some(json) = object.get(field.name.as_ref()) else { continue };
        match &field.source {
            Source::Time => {
                time_nanos = json.as_i64().filter(|nanos| *nanos >= 0).unwrap_or(time_nanos);
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
                // The engine has already decided about the fallback, so none is used here.
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
            // The contract holds the value of a constant.
            _ => {}
        }
    }
    Unflattened { resource, record, time_nanos }
}

/// Returns the value if it has the declared type.
///
/// Text for a number is a mistake of the engine, and such a text may be anything.
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
