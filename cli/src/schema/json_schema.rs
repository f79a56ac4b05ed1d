//! Prints JSON Schemas (draft 2020-12) of messages, which say what each field may contain.

use anyhow::Context as _;
use otel_usage::Contract;
use otel_usage::schema::{Field, Instrument, Literal, MessageSpec, Sanitizer, Source, Type};
use serde_json::{Map, Value, json};

/// Longest list that is sent. Longer lists are cut.
const LIST: usize = 64;

/// Returns one object with the schemas by contract id and message.
pub(super) fn all(contracts: &[Contract]) -> anyhow::Result<String> {
    let mut by_contract = Map::new();
    for contract in contracts {
        let messages = contract.messages.iter();
        let schemas =
            messages.map(|spec| (spec.name.to_string(), schema(contract, spec))).collect();
        by_contract.insert(contract.id.to_string(), Value::Object(schemas));
    }
    pretty(&Value::Object(by_contract))
}

pub(super) fn text(contract: &Contract, spec: &MessageSpec) -> anyhow::Result<String> {
    pretty(&schema(contract, spec))
}

fn pretty(value: &Value) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value).context("the schema cannot be written")? + "\n")
}

fn schema(contract: &Contract, spec: &MessageSpec) -> Value {
    let fields = spec.fields.iter();
    let properties: Map<String, Value> =
        fields.map(|field| (field.name.to_string(), property(contract, field))).collect();
    let required: Vec<&str> = spec
        .fields
        .iter()
        .filter(|field| !field.optional)
        .map(|field| field.name.as_ref())
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("{} {}", contract.id, spec.name),
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn property(contract: &Contract, field: &Field) -> Value {
    let mut schema = match &field.source {
        Source::Constant(value) => one_of([literal(value)]),
        Source::ResourceMapped(_, words) => {
            one_of(words.iter().map(|(_, wire)| Value::from(wire.as_ref())))
        }
        // Only the parts have a length limit.
        Source::ResourceJoined(_) => {
            [("type".to_owned(), Value::from("string"))].into_iter().collect()
        }
        _ => typed(contract, field),
    };
    let absent = literal(&field.absent);
    allow(&mut schema, &absent);
    schema.insert("description".to_owned(), Value::from(field.doc.as_ref()));
    Value::Object(schema)
}

/// Returns a schema that accepts only these values.
fn one_of(values: impl IntoIterator<Item = Value>) -> Map<String, Value> {
    [("enum".to_owned(), Value::Array(values.into_iter().collect()))].into_iter().collect()
}

fn typed(contract: &Contract, field: &Field) -> Map<String, Value> {
    let text = || text_schema(&contract.sanitizers_of(field));
    let value = match field.ty {
        Type::Bool => json!({"type": "boolean"}),
        Type::Float => json!({"type": "number"}),
        Type::Int if field.instrument == Some(Instrument::Counter) => {
            json!({"type": "integer", "minimum": 0})
        }
        Type::Int => json!({"type": "integer"}),
        Type::Ints => json!({"type": "array", "items": {"type": "integer"}, "maxItems": LIST}),
        Type::Strs => json!({"type": "array", "items": text(), "maxItems": LIST}),
        Type::Histogram => {
            let keys: Vec<String> = field.bucket_keys().collect();
            let count = json!({"type": "integer", "minimum": 0});
            let counts: Map<String, Value> =
                keys.iter().map(|key| (key.clone(), count.clone())).collect();
            json!({
                "type": "object", "properties": counts, "required": keys,
                "additionalProperties": false,
            })
        }
        _ => return text(),
    };
    match value {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}

/// Returns the schema of text after these sanitizers.
fn text_schema(steps: &[&Sanitizer]) -> Map<String, Value> {
    let mut schema = Map::new();
    schema.insert("type".to_owned(), Value::from("string"));
    for step in steps {
        match step {
            Sanitizer::CapLen(limit) => schema.insert("maxLength".to_owned(), Value::from(*limit)),
            Sanitizer::Choice(words) => {
                let words = words.iter().map(AsRef::as_ref).chain(["other"]).map(Value::from);
                schema.insert("enum".to_owned(), Value::Array(words.collect()))
            }
            Sanitizer::SchemeOnly => schema
                .insert("pattern".to_owned(), Value::from("^(<removed>|[a-z][a-z0-9+.-]*://)$")),
            Sanitizer::Uuid => schema.insert(
                "pattern".to_owned(),
                Value::from("^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?$"),
            ),
            _ => None,
        };
    }
    schema
}

/// Extends a schema so that it accepts the value of an absent field.
fn allow(schema: &mut Map<String, Value>, absent: &Value) {
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        if !values.contains(absent) {
            values.push(absent.clone());
        }
        if absent.is_null() && schema.contains_key("type") {
            schema.insert("type".to_owned(), json!(["string", "null"]));
        }
    } else if absent.is_null()
        && let Some(Value::String(ty)) = schema.get("type").cloned()
        && ty != "object"
    {
        schema.insert("type".to_owned(), json!([ty, "null"]));
    }
}

pub(super) fn literal(value: &Literal) -> Value {
    // Every literal has a JSON form.
    serde_json::to_value(value).unwrap_or_default()
}
