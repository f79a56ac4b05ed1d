//! The closed world: what the contract does not list does not leave, on any sink.

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use otel_usage::schema::{CompiledContract, Contract, ENVIRONMENT, Source, transport};
use otel_usage::schema::{lmcache, vllm};
use proptest::prelude::*;

use crate::receiver::Receiver;
use crate::support::{Operator, keys, otlp};

const SECRET: &str = "hunter2-secret";

/// A span with the secret in every place that is not in the contract, and in sanitized fields.
fn planted(kind: &str, attributes: &[&str]) -> SpanData {
    let mut state = SpanEvents::default();
    state.events.push(Event::new(
        SECRET,
        SystemTime::now(),
        vec![KeyValue::new(SECRET, SECRET)],
        0,
    ));
    let mut links = SpanLinks::default();
    let trace = TraceState::from_key_value([("vendor", SECRET)]).unwrap();
    let context = SpanContext::new(
        TraceId::from_bytes([1; 16]),
        SpanId::from_bytes([1; 8]),
        TraceFlags::SAMPLED,
        true,
        trace,
    );
    links.links.push(Link::new(context.clone(), vec![KeyValue::new(SECRET, SECRET)], 0));
    SpanData {
        span_context: context,
        parent_span_id: SpanId::from_bytes([2; 8]),
        parent_span_is_remote: true,
        span_kind: SpanKind::Server,
        name: kind.to_owned().into(),
        start_time: SystemTime::now() - Duration::from_secs(1),
        end_time: SystemTime::now(),
        attributes: attributes
            .iter()
            .map(|name| {
                KeyValue::new((*name).to_owned(), format!("scheme://u:{SECRET}@h/{SECRET}"))
            })
            .chain([KeyValue::new(SECRET, 1), KeyValue::new("db.url", SECRET)])
            .collect(),
        dropped_attributes_count: 0,
        events: state,
        links,
        status: Status::error(SECRET),
        instrumentation_scope: InstrumentationScope::builder(SECRET)
            .with_attributes([KeyValue::new(SECRET, SECRET)])
            .build(),
    }
}

#[test]
fn a_secret_planted_around_the_contract_reaches_no_sink() {
    let (server, collector) = (Receiver::start(), Receiver::start());
    let operator = Operator::new()
        .with("OTEL_USAGE_EXPORTERS", "server,otlp,file")
        .with("LMCACHE_USAGE_TRACK_URL", server.url())
        .with("OTEL_USAGE_OTLP_ENDPOINT", collector.url());
    let mut exporter = operator.engine(&lmcache::V1).exporter().unwrap();
    exporter.set_resource(
        &Resource::builder_empty()
            .with_service_name(SECRET)
            .with_attributes([
                KeyValue::new("host.name", SECRET),
                KeyValue::new("service.instance.id", SECRET),
                KeyValue::new(SECRET, SECRET),
            ])
            .build(),
    );
    let spans = vec![
        planted(
            "lmcache.engine",
            &["lmcache.remote.url", "gen_ai.request.model", "lmcache.kv.shape"],
        ),
        planted(SECRET, &["lmcache.remote.url"]),
    ];
    let exported = std::pin::pin!(exporter.export(spans));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(exported.poll(&mut context).is_ready());

    let flat = server.take(3);
    let spans = collector.take(3);
    for request in flat.iter().chain(&spans) {
        assert!(!format!("{:?}{:?}", request.headers, request.path).contains(SECRET));
        assert!(!request.body.windows(SECRET.len()).any(|bytes| bytes == SECRET.as_bytes()));
    }
    let file = std::fs::read_to_string(operator.path(".config/otel-usage/lmcache.jsonl")).unwrap();
    assert_eq!(file.lines().count(), 3);
    assert!(!file.contains(SECRET));
    // The planted record itself arrived, so the test looked at the right thing.
    assert!(file.contains("\"remote_url\": \"scheme://\""), "{file}");
    for (_, span) in spans.iter().flat_map(|request| otlp::decode(&request.body)) {
        assert_eq!(span.parent_span_id, SpanId::INVALID);
        assert!(span.events.is_empty());
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::I64),
        any::<f64>().prop_map(Value::F64),
        ".{0,40}".prop_map(|text| Value::String(text.into())),
        prop::collection::vec(any::<i64>(), 0..8).prop_map(|numbers| Value::Array(numbers.into())),
        prop::collection::vec(".{0,8}", 0..4).prop_map(|words| {
            Value::Array(words.into_iter().map(StringValue::from).collect::<Vec<_>>().into())
        }),
    ]
}

/// Names of the contract as often as any others.
fn any_attributes(names: Vec<String>) -> impl Strategy<Value = Vec<KeyValue>> {
    let name = prop_oneof![prop::sample::select(names), "[a-z.]{1,20}", ".{0,12}"];
    prop::collection::vec((name, any_value()), 0..24).prop_map(|pairs| {
        pairs.into_iter().map(|(name, value)| KeyValue::new(name, value)).collect()
    })
}

fn record_names(contract: &Contract) -> Vec<String> {
    let fields = contract.messages.iter().flat_map(|spec| spec.fields.iter());
    fields
        .filter_map(|field| match &field.source {
            Source::Record(name) => Some(name.to_string()),
            _ => None,
        })
        .collect()
}

fn resource_names(contract: &Contract) -> Vec<String> {
    ENVIRONMENT.iter().chain(contract.attributes.iter()).map(|a| a.name.to_string()).collect()
}

fn scene() -> impl Strategy<Value = (&'static Contract, usize, Vec<KeyValue>, Vec<KeyValue>)> {
    prop::sample::select(vec![&vllm::CURRENT, &vllm::V0_4_0, &lmcache::V1, &lmcache::DOC])
        .prop_flat_map(|contract| {
            (
                Just(contract),
                0..contract.messages.len(),
                any_attributes(record_names(contract)),
                any_attributes(resource_names(contract)),
            )
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn random_resources_and_spans_give_the_contracts_keys_and_nothing_else(
        (contract, message, record, resource) in scene()
    ) {
        let compiled = CompiledContract::new(contract).unwrap();
        let spec = &contract.messages[message];
        let mut span = planted(&spec.record, &[]);
        span.attributes = record;
        let environment = compiled.read_resource(&Resource::builder_empty().with_attributes(resource).build());
        let Some(record) = compiled.read_span(&span, &mut |_, _| {}) else {
            // Only a record that names another contract is turned away.
            prop_assert!(span.attributes.iter().any(|a| a.key.as_str() == transport::CONTRACT));
            return Ok(());
        };
        let flat = otel_usage::flatten(&compiled, &environment, &record).unwrap().to_json();
        let expected: Vec<_> = spec.fields.iter().map(|field| field.name.to_string()).collect();
        prop_assert_eq!(keys(&flat), expected);

        let declared = record_names(contract);
        let own = [transport::CONTRACT, transport::RECORD, transport::RECORD_ID, transport::DELIVERY];
        let exported = compiled.span(&record, true);
        for attribute in &exported.attributes {
            let name = attribute.key.as_str();
            prop_assert!(own.contains(&name) || declared.iter().any(|known| known == name), "{name}");
        }
        prop_assert!(exported.events.is_empty());
        prop_assert_eq!(&exported.status, &Status::Unset);
        for (name, _) in compiled.resource(&environment).iter() {
            prop_assert!(resource_names(contract).iter().any(|known| known == name.as_str()), "{name}");
        }
        // What another process reads from it is the same message.
        let (resource, decoded) = otlp::decode(&otlp::encode(&compiled.resource(&environment), exported))
            .pop().unwrap();
        let again = compiled.read_span(&decoded, &mut |_, _| {}).unwrap();
        let environment = compiled.read_resource(&resource);
        prop_assert_eq!(otel_usage::flatten(&compiled, &environment, &again).unwrap().to_json(), flat);
    }
}
