//! Checks that the bridge sends only the contract's fields, for any input.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use otel_usage::Contract;
use otel_usage::schema::transport::SCOPE;
use otel_usage::schema::{lmcache, transport};
use otel_usage_bridge::FileExporter;
use otel_usage_testing::served::{Served, request, span, to};
use otel_usage_testing::upstream::Upstream;
use proptest::prelude::*;
use prost::Message as _;

fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn secret() -> Any {
    Any::StringValue("planted-secret".to_owned())
}

/// The engine record of LMCache, with a secret in every place where OTLP can carry text.
fn planted() -> ExportTraceServiceRequest {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/lmcache-v1-engine.json");
    let golden = std::fs::read_to_string(file).unwrap();
    let mut request = request([span(&lmcache::V1, "EngineMessage", &golden, 1)]);
    let group = &mut request.resource_spans[0];
    group.schema_url = "planted-secret".to_owned();
    let nested =
        || Any::KvlistValue(KeyValueList { values: vec![attribute("planted-secret", secret())] });
    let list = || Any::ArrayValue(ArrayValue { values: vec![AnyValue { value: Some(nested()) }] });
    let many = [
        attribute("host.name", secret()),
        attribute("planted-secret", Any::BoolValue(true)),
        attribute("service.version", nested()),
        attribute("otel_usage.cpu.count", secret()),
        attribute("otel_usage.architecture", list()),
        attribute("host.cpu.model.name", Any::BytesValue(b"planted-secret".to_vec())),
    ];
    group.resource.as_mut().unwrap().attributes.extend(many.clone());
    let scope = &mut group.scope_spans[0];
    scope.schema_url = "planted-secret".to_owned();
    let about = scope.scope.as_mut().unwrap();
    about.version = "planted-secret".to_owned();
    about.attributes.push(attribute("planted-secret", secret()));
    let span = &mut scope.spans[0];
    // An attribute also holds the kind, because a collector may clear the name or put any text in it.
    span.attributes.push(attribute(transport::RECORD_KIND, Any::StringValue(span.name.clone())));
    span.name = "planted-secret".to_owned();
    span.trace_state = "planted-secret=1".to_owned();
    span.status = Some(Status { message: "planted-secret".to_owned(), code: 2 });
    span.events.push(Event {
        name: "planted-secret".to_owned(),
        attributes: many.to_vec(),
        ..Event::default()
    });
    span.links.push(Link {
        trace_state: "planted-secret".to_owned(),
        attributes: many.to_vec(),
        ..Link::default()
    });
    span.attributes.retain(|attribute| {
        !matches!(attribute.key.as_str(), "lmcache.remote.url" | "lmcache.model.name")
    });
    span.attributes.extend(many);
    span.attributes.push(attribute(
        "lmcache.remote.url",
        Any::StringValue("redis://user:planted-secret@host".to_owned()),
    ));
    span.attributes
        .push(attribute("lmcache.model.name", Any::StringValue("/home/planted-secret".to_owned())));
    span.attributes.push(attribute("lmcache.chunk_size", secret()));
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_secrets_are_in_no_output() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flat.jsonl");
    let upstream = Upstream::new().await;
    let mut config = to(&upstream);
    config.exporters.file = Some(FileExporter::new(&path));
    let served = Served::start(&config).await;
    assert_eq!(served.send(&planted()).await.status(), 200);
    let metrics = served
        .client
        .get(format!("{}/metrics", served.url))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let file = std::fs::read_to_string(&path).unwrap();
    let posts = upstream.posts();
    assert_eq!((posts.len(), file.lines().count()), (1, 1));
    assert!(posts[0].body.contains(r#""remote_url": "redis://""#), "{}", posts[0].body);
    for output in [format!("{posts:?}"), file, metrics] {
        assert!(!output.contains("planted"), "{output}");
    }
    // Nor in the answer to a request that cannot be read.
    for body in
        [&br#"{"planted-secret": planted-secret"#[..], br#"{"resourceSpans": "planted-secret"}"#]
    {
        let answer = served.post("/v1/traces", "application/json", None, body.to_vec()).await;
        assert_eq!(answer.status(), 400);
        assert!(!answer.text().await.unwrap().contains("planted"));
    }
}

fn any_value() -> impl Strategy<Value = Any> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Any::BoolValue),
        any::<i64>().prop_map(Any::IntValue),
        any::<f64>().prop_map(Any::DoubleValue),
        ".{0,40}".prop_map(Any::StringValue),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Any::BytesValue),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let value = inner.prop_map(|value| AnyValue { value: Some(value) });
        prop_oneof![
            prop::collection::vec(value.clone(), 0..4)
                .prop_map(|values| Any::ArrayValue(ArrayValue { values })),
            prop::collection::vec(value, 0..4).prop_map(|values| Any::KvlistValue(KeyValueList {
                values: values
                    .into_iter()
                    .map(|value| KeyValue {
                        key: "planted".to_owned(),
                        value: Some(value),
                        ..KeyValue::default()
                    })
                    .collect(),
            })),
        ]
    })
}

/// Makes attributes with names of the contracts and with other names.
fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let mut names: Vec<String> =
        vec!["planted".to_owned(), transport::DELIVERY.to_owned(), transport::RECORD_ID.to_owned()];
    for contract in Contract::built_in() {
        names.extend(contract.attributes.iter().map(|attribute| attribute.name.to_string()));
        for field in contract.messages.iter().flat_map(|message| message.fields.iter()) {
            if let otel_usage::schema::Source::Record(name)
            | otel_usage::schema::Source::Resource(name) = &field.source
            {
                names.push(name.to_string());
            }
        }
    }
    prop::collection::vec(
        (prop::sample::select(names), any_value()).prop_map(|(key, value)| attribute(&key, value)),
        0..12,
    )
}

pub(crate) fn any_request() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let contracts = Contract::built_in();
    let kinds: Vec<(String, String)> = contracts
        .iter()
        .flat_map(|contract| {
            contract
                .messages
                .iter()
                .map(|message| (contract.id.to_string(), message.record.to_string()))
        })
        .collect();
    (
        prop::sample::select(kinds),
        attributes(),
        attributes(),
        any::<u64>(),
        prop::collection::vec(any::<u8>(), 0..20),
    )
        .prop_map(|((contract, kind), resource, mut own, time, id)| {
            own.push(attribute(transport::CONTRACT, Any::StringValue(contract)));
            let span = Span {
                name: kind,
                end_time_unix_nano: time,
                trace_id: id.clone(),
                span_id: id,
                attributes: own,
                ..Span::default()
            };
            let mut request = otel_usage_testing::served::beats([1]);
            let group = &mut request.resource_spans[0];
            group.resource.as_mut().unwrap().attributes = resource;
            assert_eq!(group.scope_spans[0].scope.as_ref().unwrap().name, SCOPE);
            group.scope_spans[0].spans = vec![span];
            request
        })
}

#[test]
fn random_otlp_gives_only_the_contracts_keys_and_no_panic() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (upstream, served) = runtime.block_on(async {
        let upstream = Upstream::new().await;
        let served = Served::start(&to(&upstream)).await;
        (upstream, served)
    });
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&any_request(), |request| {
            let status = runtime.block_on(served.send(&request)).status();
            prop_assert_eq!(status, 200);
            Ok(())
        })
        .unwrap();
    let known: Vec<Vec<String>> = Contract::built_in()
        .iter()
        .flat_map(|contract| contract.messages.iter())
        .map(|message| message.fields.iter().map(|field| field.name.to_string()).collect())
        .collect();
    assert!(upstream.posts().len() > 400);
    for body in upstream.bodies() {
        assert!(known.contains(&otel_usage_testing::json::keys(&body)), "{body}");
    }
}

#[test]
fn random_bytes_are_answered_without_a_panic() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (upstream, served) = runtime.block_on(async {
        let upstream = Upstream::new().await;
        let served = Served::start(&to(&upstream)).await;
        (upstream, served)
    });
    let whole = planted().encode_to_vec();
    let damaged = (0..whole.len(), any::<u8>(), any::<bool>()).prop_map(move |(at, byte, cut)| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        if cut {
            bytes.truncate(at);
        }
        bytes
    });
    let bodies = prop_oneof![prop::collection::vec(any::<u8>(), 0..200), damaged];
    let ways = prop::sample::select(vec![
        "application/x-protobuf",
        "application/json",
        "application/grpc",
    ]);
    let paths = prop::sample::select(vec![
        "/v1/traces",
        "/v1/logs",
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    ]);
    let encodings = prop::sample::select(vec![None, Some("gzip"), Some("zstd")]);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&(paths, ways, encodings, bodies), |(path, way, encoding, body)| {
            let status = runtime.block_on(served.post(path, way, encoding, body)).status();
            prop_assert!([200, 400, 405, 413, 415].contains(&status.as_u16()), "{}", status);
            Ok(())
        })
        .unwrap();
    assert!(upstream.bodies().iter().all(|body| !body.contains("planted")));
    assert_eq!(runtime.block_on(served.count("requests_in_flight")), 0.0);
}
