//! A span and a Resource of any attributes in, read by every contract; the contract's flat message
//! out: its keys, valid JSON, nothing else.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status};
use opentelemetry::{InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use otel_usage::schema::{CompiledContract, Contract, ENVIRONMENT, Source};

/// A contract, and the names it knows: of records, of the Resource.
struct Known {
    contract: &'static Contract,
    compiled: CompiledContract,
    record: Vec<String>,
    resource: Vec<String>,
}

static CONTRACTS: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let known = |contract: &'static Contract| Known {
        contract,
        compiled: CompiledContract::new(contract).unwrap(),
        record: contract
            .messages
            .iter()
            .flat_map(|message| message.fields.iter())
            .filter_map(|field| match &field.source {
                Source::Record(name) => Some(name.to_string()),
                _ => None,
            })
            .collect(),
        resource: ENVIRONMENT
            .iter()
            .chain(contract.attributes.iter())
            .map(|attribute| attribute.name.to_string())
            .collect(),
    };
    Contract::built_in().into_iter().map(known).collect()
});

#[derive(arbitrary::Arbitrary, Debug)]
enum Any<'a> {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    Ints(Vec<i64>),
    Texts(Vec<&'a str>),
}

impl From<Any<'_>> for Value {
    fn from(any: Any<'_>) -> Self {
        match any {
            Any::Bool(value) => Self::Bool(value),
            Any::Int(value) => Self::I64(value),
            Any::Float(value) => Self::F64(value),
            Any::Text(text) => Self::String(text.to_owned().into()),
            Any::Ints(numbers) => Self::Array(numbers.into()),
            Any::Texts(texts) => {
                let owned = texts.into_iter().map(|text| StringValue::from(text.to_owned()));
                Self::Array(owned.collect::<Vec<_>>().into())
            }
        }
    }
}

/// A name of the contract, or any other.
type Attributes<'a> = Vec<(Result<u8, &'a str>, Any<'a>)>;

fn attributes(given: Attributes<'_>, known: &[String]) -> Vec<KeyValue> {
    let pairs = given.into_iter().map(|(name, value)| {
        let name = match name {
            Ok(index) => known.get(usize::from(index) % known.len().max(1)).cloned(),
            Err(other) => Some(other.to_owned()),
        };
        KeyValue::new(name.unwrap_or_default(), Value::from(value))
    });
    pairs.collect()
}

fuzz_target!(|input: (u8, u8, Option<&str>, Attributes<'_>, Attributes<'_>)| {
    let (contract, message, name, record, resource) = input;
    let known = CONTRACTS.get(usize::from(contract) % CONTRACTS.len()).unwrap();
    let messages = &known.contract.messages;
    let spec = messages.get(usize::from(message) % messages.len()).unwrap();
    let span = SpanData {
        span_context: SpanContext::empty_context(),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: name.map_or_else(|| spec.record.to_string(), str::to_owned).into(),
        start_time: std::time::UNIX_EPOCH,
        end_time: std::time::UNIX_EPOCH,
        attributes: attributes(record, &known.record),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::default(),
    };
    let resource = attributes(resource, &known.resource);
    let resource = Resource::builder_empty().with_attributes(resource).build();
    let environment = known.compiled.read_resource(&resource);
    let Some(record) = known.compiled.read_span(&span, &mut |_, _| {}) else {
        return;
    };
    let Some(message) = otel_usage::flatten(&known.compiled, &environment, &record) else {
        return;
    };
    let json = message.to_json();
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(fields.len(), message.fields().count());
    assert!(message.fields().all(|(field, _)| fields.contains_key(field.name.as_ref())));
    assert!(json.len() < 64 * 1024, "every text is cut");
    let _ = (message.to_text(), message.to_pretty_json());

    // What another process reads from what is exported is the same message.
    let span = known.compiled.span(&record, true);
    let again = known.compiled.read_span(&span, &mut |_, _| {}).unwrap();
    let environment = known.compiled.read_resource(&known.compiled.resource(&environment));
    let second = otel_usage::flatten(&known.compiled, &environment, &again).unwrap().to_json();
    assert_eq!(second, json);
});
