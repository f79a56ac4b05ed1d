//! Recognises flat JSON that unmodified engines post to a collector's webhook receiver.
//!
//! The collector sends such JSON as the body of a log record. The tables of the contracts identify the
//! message: by its constants, such as `message_type`, or by its set of keys if it has no constants.

use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use otel_usage_schema::{Field, Literal, MessageSpec, Source};
use serde_json::{Map, Number, Value as Json};

use crate::catalog::Catalog;

/// Returns the flat object in the body of a log record, which is text, bytes, or OTLP's own map.
pub(crate) fn object(body: AnyValue) -> Option<Map<String, Json>> {
    match body.value? {
        Any::StringValue(text) => serde_json::from_str(&text).ok(),
        Any::BytesValue(bytes) => serde_json::from_slice(&bytes).ok(),
        Any::KvlistValue(list) => Some(
            list.values
                .into_iter()
                .map(|entry| (entry.key, entry.value.map_or(Json::Null, json)))
                .collect(),
        ),
        _ => None,
    }
}

/// Returns OTLP's value as JSON. Maps inside the object become `null`, because messages are flat.
fn json(any: AnyValue) -> Json {
    match any.value {
        Some(Any::BoolValue(value)) => Json::Bool(value),
        Some(Any::DoubleValue(value)) => Number::from_f64(value).map_or(Json::Null, Json::Number),
        Some(Any::IntValue(value)) => Json::Number(value.into()),
        Some(Any::StringValue(text)) => Json::String(text),
        Some(Any::ArrayValue(list)) => Json::Array(list.values.into_iter().map(json).collect()),
        _ => Json::Null,
    }
}

/// Returns the position of the object's contract and the table of its message.
///
/// A message with constants (`message_type`, `schema_version`) matches if the object has all of them and
/// no constant of other messages only, because schema version 2 is not version 1 with more keys. A
/// message without constants matches if the object has all its keys and no key of another message of the
/// contract only, because a part of a start message is not a heartbeat. If several messages match, the
/// one with the most keys in the object is taken.
pub(crate) fn recognise<'c>(
    catalog: &'c Catalog,
    object: &Map<String, Json>,
) -> Option<(usize, &'c MessageSpec)> {
    let messages = || {
        catalog.known.iter().enumerate().flat_map(|(place, known)| {
            known.compiled.contract().messages.iter().map(move |message| (place, message))
        })
    };
    let tags: Vec<&str> = messages()
        .flat_map(|(_, message)| message.fields.iter().filter(|field| tag(field).is_some()))
        .map(|field| field.name.as_ref())
        .filter(|name| object.contains_key(*name))
        .collect();
    let fits = |place: usize, message: &MessageSpec| {
        let mut own =
            message.fields.iter().filter_map(|field| Some((field.name.as_ref(), tag(field)?)));
        let tagged = own.clone().next().is_some();
        if tagged || !tags.is_empty() {
            return tagged
                && own.all(|(name, value)| object.get(name) == Some(&value))
                && tags.iter().all(|tag| message.fields.iter().any(|field| field.name == *tag));
        }
        let siblings =
            catalog.known.get(place).map_or(&[][..], |known| &known.compiled.contract().messages);
        message.fields.iter().all(|field| object.contains_key(field.name.as_ref()))
            && siblings.iter().flat_map(|sibling| sibling.fields.iter()).all(|field| {
                !object.contains_key(field.name.as_ref())
                    || message.fields.iter().any(|own| own.name == field.name)
            })
    };
    // Takes the first of equals, because the newest built-in contract is first.
    messages().filter(|(place, message)| fits(*place, message)).fold(
        None,
        |best, next| match best {
            Some((_, known)) if best_of(known, object) >= best_of(next.1, object) => best,
            _ => Some(next),
        },
    )
}

fn best_of(message: &MessageSpec, object: &Map<String, Json>) -> usize {
    message.fields.iter().filter(|field| object.contains_key(field.name.as_ref())).count()
}

/// Returns the constant that identifies a message. Constant booleans and fractions do not, because older
/// engines had settings in their place.
fn tag(field: &Field) -> Option<Json> {
    match &field.source {
        Source::Constant(Literal::Str(text)) => Some(Json::String(text.to_string())),
        Source::Constant(Literal::Int(number)) => Some(Json::Number((*number).into())),
        _ => None,
    }
}
