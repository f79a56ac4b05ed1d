//! Flat JSON that unmodified engines post, as a collector's webhook receiver hands it on.
//!
//! In: the body of a log record. Out: the object in it, and the contract and message it belongs to,
//! found by the contracts' tables: constants such as `message_type` tell a message where it has
//! them, the set of keys where it has none.

use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use otel_usage_schema::{Field, Literal, MessageSpec, Source};
use serde_json::{Map, Number, Value as Json};

use crate::catalog::Catalog;

/// The flat object in a log record's body: as text, as bytes, or as OTLP's own map.
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

/// OTLP's value as JSON. Maps inside the object become `null`: messages are flat.
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

/// Finds the message of an object: the place of its contract, and its table.
///
/// A message with constants (`message_type`, `schema_version`) is meant when the object has each of
/// them, and no constant that only other messages have: schema version 2 is not version 1 with a
/// few keys more. A message without is meant when the object has all its keys and none that only
/// another message of that contract has: half a start report is no heartbeat. Of several, the one
/// that knows most keys.
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
    // The first of equals: built-in contracts come newest first.
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

/// The constant that tells messages apart. Constant switches and fractions do not: older engines
/// had settings where today's have constants.
fn tag(field: &Field) -> Option<Json> {
    match &field.source {
        Source::Constant(Literal::Str(text)) => Some(Json::String(text.to_string())),
        Source::Constant(Literal::Int(number)) => Some(Json::Number((*number).into())),
        _ => None,
    }
}
