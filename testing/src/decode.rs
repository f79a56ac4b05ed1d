//! Checks the bytes that an exporter sends against the contract's tables, with serde_json and prost.
//!
//! It shares no code with the flattener but the tables. A check panics and names what no table declares.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use otel_usage::Contract;
use otel_usage::export::ExportRecord;
use otel_usage::schema::sanitize::Sanitizer;
use otel_usage::schema::{
    Attribute, Field, Loss, MessageSpec, RESOURCE_ATTRIBUTES, Source, Type, transport,
};
use prost::Message as _;
use serde_json::Value as Json;

use crate::json::keys;
use crate::otlp;

/// Longest list that may leave.
const LIST: usize = 64;

/// Returns every form in which an exporter could send `record`: its name, the message, the bytes.
pub fn forms(record: &ExportRecord) -> Vec<(&'static str, String, Vec<u8>)> {
    let name = record.message().map(|message| message.name().to_owned()).unwrap_or_default();
    let mut all = Vec::new();
    if let Some(message) = record.message() {
        all.push(("flat", name.clone(), message.to_json().into_bytes()));
        all.push(("text", name.clone(), message.to_text().into_bytes()));
        all.push(("console", name.clone(), message.to_pretty_json().into_bytes()));
    }
    all.push(("otlp", name, otlp::encode(&record.resource(), record.span())));
    all
}

/// Checks every form of `record`, and that none holds `secret`.
pub fn inspect(contract: &Contract, record: &ExportRecord, secret: &str) {
    for (form, name, bytes) in forms(record) {
        assert!(!holds(&bytes, secret), "{form} {name}: {}", String::from_utf8_lossy(&bytes));
        let spec = || contract.messages.iter().find(|spec| spec.name == name).unwrap();
        match form {
            "flat" | "console" => flat(contract, spec(), std::str::from_utf8(&bytes).unwrap()),
            "text" => text(spec(), std::str::from_utf8(&bytes).unwrap()),
            _ => otlp_bytes(contract, &bytes),
        }
    }
}

/// Returns whether the bytes hold a text.
pub fn holds(bytes: &[u8], secret: &str) -> bool {
    // The standard library's search is fast without optimisation too.
    String::from_utf8_lossy(bytes).contains(secret)
}

/// Checks that a flat object has the table's keys in its order, with values of the declared types.
pub fn flat(contract: &Contract, spec: &MessageSpec, json: &str) {
    let order = keys(json);
    in_order(spec, order.iter().map(|key| Some(key.as_str())));
    let Json::Object(parsed) = serde_json::from_str(json).unwrap() else { panic!("{json}") };
    assert_eq!(parsed.len(), order.len());
    for field in spec.fields.iter() {
        if let Some(value) = parsed.get(field.name.as_ref()) {
            assert!(fits(contract, field, value), "{}: {value} in {json:.300}", field.name);
        }
    }
}

/// Checks that a text has a line for each field, with its key, and an empty line at the end.
pub fn text(spec: &MessageSpec, text: &str) {
    let lines = text.strip_suffix("\n\n").unwrap().split('\n');
    let names = lines.map(|line| {
        spec.fields
            .iter()
            .map(|field| field.name.as_ref())
            .find(|name| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(": ")))
    });
    in_order(spec, names);
}

/// Checks that the names are the table's, in its order, and that only optional fields are left out.
fn in_order<'a>(spec: &MessageSpec, names: impl Iterator<Item = Option<&'a str>>) {
    let mut fields = spec.fields.iter();
    for name in names {
        loop {
            let field = fields.next().unwrap_or_else(|| panic!("{name:?} in {}", spec.name));
            if Some(field.name.as_ref()) == name {
                break;
            }
            assert!(field.optional, "{} lacks {}", spec.name, field.name);
        }
    }
    assert!(fields.all(|field| field.optional), "{} ends early", spec.name);
}

fn fits(contract: &Contract, field: &Field, value: &Json) -> bool {
    if *value == serde_json::to_value(&field.absent).unwrap() {
        return true;
    }
    let short = |text: &Json| {
        text.as_str().is_some_and(|text| text.chars().count() <= longest(contract, field))
    };
    match (&field.source, field.ty, value) {
        (Source::Constant(literal), ..) => *value == serde_json::to_value(literal).unwrap(),
        (Source::ResourceMapped(_, words), _, Json::String(text)) => {
            words.iter().any(|(_, wire)| wire == text)
        }
        (_, Type::Bool, value) => value.is_boolean(),
        (_, Type::Float, value) => value.is_f64(),
        (_, Type::Int, value) => value.is_i64(),
        (_, Type::Str, value) => short(value),
        (_, Type::Ints, Json::Array(all)) => all.len() <= LIST && all.iter().all(Json::is_i64),
        (_, Type::Strs, Json::Array(all)) => all.len() <= LIST && all.iter().all(short),
        (_, Type::Histogram, Json::Object(counts)) => {
            counts.len() == field.bucket_keys().count()
                && counts.values().all(Json::is_i64)
                && field.bucket_keys().all(|key| counts.contains_key(&key))
        }
        _ => false,
    }
}

/// Returns the most characters that a text of `field` may have.
fn longest(contract: &Contract, field: &Field) -> usize {
    match &field.source {
        Source::Record(_) => cap(&field.sanitize),
        source => {
            let names = source.resources();
            let caps = names.iter().map(|name| cap(&contract.attribute(name).unwrap().sanitize));
            caps.sum::<usize>() + names.len() - 1
        }
    }
}

fn cap(steps: &[Sanitizer]) -> usize {
    let caps = steps.iter().map(|step| match step {
        Sanitizer::CapLen(limit) => *limit,
        Sanitizer::Choice(words) => words.iter().map(|word| word.len()).max().unwrap().max(5),
        Sanitizer::SchemeOnly => 35,
        Sanitizer::Uuid => 36,
        Sanitizer::PathOrRepoId => 256,
        Sanitizer::VllmSettings => 1024,
        other => panic!("what may come out of {other}?"),
    });
    caps.min().expect("a text without a sanitizer")
}

/// Checks that a request holds spans with declared and transport attributes, and nothing else.
pub fn otlp_bytes(contract: &Contract, bytes: &[u8]) {
    let request = ExportTraceServiceRequest::decode(bytes).unwrap();
    for group in request.resource_spans {
        assert_eq!(group.schema_url, transport::SCHEMA_URL);
        let resource = group.resource.unwrap();
        assert_eq!((resource.dropped_attributes_count, resource.entity_refs.len()), (0, 0));
        for attribute in &resource.attributes {
            let known = |known: &&Attribute| known.name == attribute.key;
            let known = RESOURCE_ATTRIBUTES.iter().chain(contract.attributes.iter()).find(known);
            typed(attribute, known.map(|known| known.ty));
        }
        for scope in group.scope_spans {
            assert_eq!(scope.schema_url, transport::SCHEMA_URL);
            let from = scope.scope.unwrap();
            assert_eq!((from.name.as_str(), from.attributes.len()), ("otel_usage", 0));
            scope.spans.iter().for_each(|span| one_span(contract, span));
        }
    }
}

fn one_span(contract: &Contract, span: &Span) {
    let spec = contract.messages.iter().find(|spec| spec.record == span.name);
    assert!(spec.is_some() || span.name == transport::RUN, "a span of the kind {}", span.name);
    assert_eq!((span.trace_state.as_str(), span.parent_span_id.len()), ("", 0));
    assert_eq!(span.kind, SpanKind::Internal as i32);
    assert!(span.events.is_empty() && span.links.len() <= 1);
    let dropped =
        [span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count];
    assert_eq!(dropped, [0; 3]);
    for link in &span.links {
        assert_eq!((link.trace_state.as_str(), link.attributes.len()), ("", 0));
    }
    let status = span.status.clone().unwrap_or_default();
    assert_eq!((status.message.as_str(), status.code), ("", 0));
    for attribute in &span.attributes {
        let said = attribute.value.clone().and_then(|value| value.value);
        let Some(Any::StringValue(said)) = said else {
            typed(attribute, declared(spec, &attribute.key));
            continue;
        };
        match attribute.key.as_str() {
            transport::CONTRACT => assert_eq!(said, contract.id),
            transport::RECORD_KIND => assert_eq!(said, span.name),
            transport::RECORD_ID => {
                assert_eq!(uuid::Uuid::try_parse(&said).unwrap().to_string(), said);
            }
            transport::DELIVERY => assert_eq!(said, "direct"),
            name => typed(attribute, declared(spec, name)),
        }
    }
}

fn declared(spec: Option<&MessageSpec>, name: &str) -> Option<Type> {
    let mut fields = spec.into_iter().flat_map(|spec| spec.fields.iter());
    let field = fields.find(|field| field.source.record() == Some(name)).map(|field| field.ty);
    let is_count = || Loss::ALL.iter().any(|loss| loss.attribute() == Some(name));
    field.or_else(|| is_count().then_some(Type::Int))
}

/// Checks that the attribute is declared and that its value has the declared type.
fn typed(attribute: &KeyValue, ty: Option<Type>) {
    let ty = ty.unwrap_or_else(|| panic!("`{}` is in no table", attribute.key));
    let all = |values: &[AnyValue], right: fn(&Any) -> bool| {
        values.len() <= LIST && values.iter().all(|value| value.value.as_ref().is_some_and(right))
    };
    let right = match (ty, attribute.value.as_ref().and_then(|value| value.value.as_ref())) {
        (Type::Bool, Some(Any::BoolValue(_)))
        | (Type::Int, Some(Any::IntValue(_)))
        | (Type::Str, Some(Any::StringValue(_))) => true,
        (Type::Float, Some(Any::DoubleValue(number))) => number.is_finite(),
        (Type::Ints | Type::Histogram, Some(Any::ArrayValue(list))) => {
            all(&list.values, |value| matches!(value, Any::IntValue(_)))
        }
        (Type::Strs, Some(Any::ArrayValue(list))) => {
            all(&list.values, |value| matches!(value, Any::StringValue(_)))
        }
        _ => false,
    };
    assert!(right, "{attribute:?} is no {ty:?}");
}
