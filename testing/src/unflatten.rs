//! Turns a flat payload back into the Resource and the span that flatten to it.
//!
//! It reads the contract's tables backwards, so that a test can send a golden payload as OTLP.

use std::time::{Duration, UNIX_EPOCH};

use opentelemetry::trace::{SpanContext, SpanKind, Status};
use opentelemetry::{InstrumentationScope, KeyValue, SpanId, StringValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use otel_usage::Contract;
use otel_usage::schema::{MessageSpec, Source, transport};
use serde_json::Value as Json;

/// Returns the table of a message.
pub fn message<'a>(contract: &'a Contract, name: &str) -> &'a MessageSpec {
    contract.messages.iter().find(|spec| spec.name == name).unwrap()
}

/// Returns the Resource and the span that flatten to `payload`.
pub fn unflatten(contract: &Contract, spec: &MessageSpec, payload: &str) -> (Resource, SpanData) {
    let payload: Json = serde_json::from_str(payload).unwrap();
    let mut resource = Vec::new();
    let mut record = vec![KeyValue::new(transport::CONTRACT, contract.id.to_string())];
    let mut time = 0_u64;
    // Without an accelerator LMCache's numbers come from the CPU and the host.
    let no_device = payload.get("gpu_type").is_some_and(|name| name == "");
    for field in spec.fields.iter() {
        let value = &payload[field.name.as_ref()];
        let mut push =
            |name: &str, value: Value| resource.push(KeyValue::new(name.to_owned(), value));
        match &field.source {
            Source::Constant(_) => {}
            Source::Time => time = value.as_u64().unwrap(),
            Source::Resource(name) => {
                attribute(value).into_iter().for_each(|value| push(name, value))
            }
            Source::ResourceOr { name, fallback, .. } => {
                let name = if no_device { fallback } else { name };
                attribute(value).into_iter().for_each(|value| push(name, value));
            }
            Source::ResourceJoined(names) => {
                for (name, part) in names.iter().zip(value.as_str().unwrap().split(',')) {
                    if !part.is_empty() {
                        push(name, Value::String(part.to_owned().into()));
                    }
                }
            }
            Source::ResourceMapped(name, words) => {
                if let Some((word, _)) = words.iter().find(|(_, wire)| value == wire.as_ref()) {
                    push(name, Value::String(word.to_string().into()));
                }
            }
            Source::Record(name) if value.is_object() => {
                let counts = field.bucket_keys().map(|key| value[key].as_i64().unwrap());
                record.push(KeyValue::new(
                    name.to_string(),
                    Value::Array(counts.collect::<Vec<_>>().into()),
                ));
            }
            Source::Record(name) => {
                record.extend(attribute(value).map(|value| KeyValue::new(name.to_string(), value)));
            }
            other => panic!("unknown source {other:?}"),
        }
    }
    let time = UNIX_EPOCH + Duration::from_nanos(time);
    let span = SpanData {
        span_context: SpanContext::empty_context(),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: spec.record.clone(),
        start_time: time,
        end_time: time,
        attributes: record,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder("otel_usage").build(),
    };
    (Resource::builder_empty().with_attributes(resource).build(), span)
}

fn attribute(value: &Json) -> Option<Value> {
    Some(match value {
        Json::Null => return None,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::I64(number),
            None => Value::F64(number.as_f64().unwrap()),
        },
        Json::String(text) => Value::String(text.clone().into()),
        Json::Array(values) if values.iter().all(Json::is_i64) => Value::Array(
            values.iter().map(|value| value.as_i64().unwrap()).collect::<Vec<_>>().into(),
        ),
        Json::Array(values) => Value::Array(
            values
                .iter()
                .map(|value| StringValue::from(value.as_str().unwrap().to_owned()))
                .collect::<Vec<_>>()
                .into(),
        ),
        Json::Object(_) => panic!("only histograms are objects"),
    })
}
