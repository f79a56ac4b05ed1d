//! Reads random attributes by every contract, and checks that the flat message is valid JSON with the
//! contract's keys and nothing else.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use opentelemetry::{KeyValue, StringValue, Value};
use otel_usage::schema::{CompiledContract, Contract, RESOURCE_ATTRIBUTES, Source, flatten};

/// A contract with the names of its records and Resource attributes.
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
        resource: RESOURCE_ATTRIBUTES
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

/// Returns a name of the contract or any other name.
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
    let kind = name.unwrap_or(&spec.record);
    let resource = known.compiled.read_resource(&attributes(resource, &known.resource));
    let record = attributes(record, &known.record);
    let Some(record) = known.compiled.read_record(kind, &record, 0, &mut |_, _| {}) else {
        return;
    };
    let Some(message) = flatten(&known.compiled, &resource, &record) else {
        return;
    };
    let json = message.to_json();
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(fields.len(), message.fields().count());
    assert!(message.fields().all(|(field, _)| fields.contains_key(field.name.as_ref())));
    assert!(json.len() < 64 * 1024, "every text is cut");
    let _ = (message.to_text(), message.to_pretty_json());

    // Another process reads the same message from the exported attributes.
    let span = known.compiled.span_attributes(&record, true);
    let again = known.compiled.read_record(kind, &span, 0, &mut |_, _| {}).unwrap();
    let attributes: Vec<KeyValue> = known.compiled.resource_attributes(&resource).collect();
    let resource = known.compiled.read_resource(&attributes);
    let second = flatten(&known.compiled, &resource, &again).unwrap().to_json();
    assert_eq!(second, json);
});
