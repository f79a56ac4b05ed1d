//! Turns a flat object back into the attributes from which it can be made.
//!
//! Only declared fields with the declared JSON type are read. Flat messages then go the same way as OTLP
//! and meet the same sanitizers, null rules and closed world.

use opentelemetry::{KeyValue, StringValue, Value};
use otel_usage_schema::{Field, Loss, MessageSpec, Source, Type};

use crate::flat::Object;
use crate::value::Any;

/// The attributes and the time behind a flat message.
#[derive(Debug)]
pub(crate) struct Unflattened {
    pub(crate) resource: Vec<KeyValue>,
    pub(crate) record: Vec<KeyValue>,
    pub(crate) time_nanos: i64,
}

/// Reads `object`, and tells `lost` about each value that cannot be used. A message without a usable time
/// gets the time `received`.
///
/// Returns `None` if a histogram cannot be read, because the counts of an absent one are zeros, which would
/// say that nothing was counted.
pub(crate) fn unflatten(
    message: &MessageSpec,
    object: &Object,
    received: i64,
    lost: &mut dyn FnMut(Loss),
) -> Option<Unflattened> {
    let (mut resource, mut record, mut time_nanos) = (Vec::new(), Vec::new(), received);
    for field in message.fields.iter() {
        let Some(any) = object.get(&field.name) else { continue };
        let list = if field.source.record().is_some() { &mut record } else { &mut resource };
        let mut push = |name: &str, value: Value| list.push(KeyValue::new(name.to_owned(), value));
        match &field.source {
            Source::Time => match any.whole() {
                Ok(nanos) if nanos >= 0 => time_nanos = nanos,
                _ => lost(Loss::WrongType),
            },
            Source::Record(name) | Source::Resource(name) => match typed(any, field) {
                Ok(value) => value.into_iter().for_each(|value| push(name, value)),
                Err(_) if field.ty == Type::Histogram => return None,
                Err(loss) => lost(loss),
            },
            Source::ResourceOr { name, unless, .. } => {
                // The engine has already decided about the fallback, so none is used here.
                push(unless, Value::from("engine"));
                match typed(any, field) {
                    Ok(value) => value.into_iter().for_each(|value| push(name, value)),
                    Err(loss) => lost(loss),
                }
            }
            Source::ResourceJoined(_) if *any == Any::Null => {}
            Source::ResourceJoined(names) => {
                let text = if let Any::Text(text) = any { text.as_str() } else { "" };
                let parts: Vec<&str> = text.split(',').collect();
                if parts.len() == names.len() {
                    let known = names.iter().zip(parts).filter(|(_, part)| !part.is_empty());
                    known.for_each(|(name, part)| push(name, Value::from(part.to_owned())));
                } else {
                    lost(Loss::WrongType);
                }
            }
            Source::ResourceMapped(name, words) => match any {
                Any::Text(text) => {
                    let word = words.iter().find(|(_, wire)| text == wire);
                    word.into_iter()
                        .for_each(|(word, _)| push(name, Value::from(word.to_string())));
                }
                Any::Null => {}
                _ => lost(Loss::WrongType),
            },
            // The contract holds the value of a constant.
            _ => {}
        }
    }
    Some(Unflattened { resource, record, time_nanos })
}

/// Returns the value as the declared type has it; `None` for `null`.
///
/// A number may be a double or text, as parsers of collectors make them. A text stays a text: one in the
/// place of a switch is a mistake of the engine, and may be anything.
fn typed(any: &Any, field: &Field) -> Result<Option<Value>, Loss> {
    Ok(Some(match (field.ty, any) {
        (Type::Histogram, Any::Map(counts)) => {
            Value::Array(counted(counts, field).ok_or(Loss::WrongType)?.into())
        }
        (Type::Histogram, _) => return Err(Loss::WrongType),
        (_, Any::Null) => return Ok(None),
        (Type::Bool, Any::Bool(value)) => Value::Bool(*value),
        (Type::Float, Any::Float(value)) if value.is_finite() => Value::F64(*value),
        (Type::Float, Any::Float(_)) => return Err(Loss::NotFinite),
        (Type::Float, Any::Int(value)) => Value::I64(*value),
        // The contract parses it.
        (Type::Float, Any::Text(text)) => Value::from(text.clone()),
        (Type::Int, any) => Value::I64(any.whole()?),
        (Type::Str, Any::Text(text)) => Value::from(text.clone()),
        (Type::Ints, Any::List(list)) => {
            Value::Array(list.iter().map(Any::whole).collect::<Result<Vec<_>, _>>()?.into())
        }
        (Type::Strs, Any::List(list)) => {
            let words = list.iter().map(|word| word.clone().into_text());
            let words: Option<Vec<StringValue>> = words.collect();
            Value::Array(words.ok_or(Loss::WrongType)?.into())
        }
        _ => return Err(Loss::WrongType),
    }))
}

/// Returns the count of each bucket. Every bucket needs one, and every count a bucket of its own.
fn counted(counts: &[(String, Any)], field: &Field) -> Option<Vec<i64>> {
    // A bound may have a fraction on the wire that it does not have here: `1.0`.
    let is = |key: &str, known: &str| {
        key == known || key.parse::<f64>().ok().is_some_and(|key| known.parse() == Ok(key))
    };
    let known = counts.iter().all(|(key, _)| field.bucket_keys().any(|known| is(key, &known)));
    // Two counts of one bucket, `1` and `1.0`, contradict each other.
    if !known || counts.len() != field.bucket_keys().count() {
        return None;
    }
    let of = |known: String| {
        let (_, count) = counts.iter().find(|(key, _)| is(key, &known))?;
        count.whole().ok().filter(|count| *count >= 0)
    };
    field.bucket_keys().map(of).collect()
}
