//! `direct.yaml`: which records and attributes pass the collector.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use otel_usage::schema::{lmcache, vllm};
use otel_usage_testing::receiver::Receiver;
use otel_usage_testing::sample;
use prost::Message as _;

use crate::client;
use crate::otelcol::{Otelcol, find};

const SECRET: &str = "planted";

#[test]
fn records_arrive_as_they_were_sent() {
    let Some(binary) = find() else { return };
    let bridge = Receiver::start();
    let otelcol =
        Otelcol::new(&binary, "direct.yaml").with("COLLECTOR_BRIDGE", bridge.url()).started();

    let seen = [
        client::run(&vllm::CURRENT, otelcol.http, sample::vllm_report()),
        client::run(&lmcache::V1, otelcol.http, sample::lmcache_engine()),
        client::run(&lmcache::V1, otelcol.http, sample::lmcache_mp_server()),
    ];
    let sent: client::Records = seen.iter().flat_map(client::sent).collect();
    // The start records with their companions, a server's last interval, and the span of each run.
    assert_eq!(sent.len(), 2 + 4 + 5);
    assert_eq!(client::arrived(&bridge, sent.len()), sent);
}

#[test]
fn the_gate_stops_planted_attributes() {
    let Some(binary) = find() else { return };
    let bridge = Receiver::start();
    let mut otelcol =
        Otelcol::new(&binary, "direct.yaml").with("COLLECTOR_BRIDGE", bridge.url()).started();

    let good = span("0000000000000001");
    let mut loud = span("0000000000000002");
    loud.name = SECRET.to_owned();
    loud.trace_state = format!("a={SECRET}");
    loud.status = Some(Status { message: SECRET.to_owned(), code: 2 });
    loud.attributes.push(text("http.url", SECRET));
    loud.attributes.push(text("vllm.model.dtype", "/home/planted/model"));
    loud.attributes.push(text("lmcache.remote.url", "redis://user:planted@host"));
    loud.attributes.push(text("vllm.attention.backend", "hf_planted0123456789abcdefghij"));
    loud.attributes.push(text("lmcache.l1.medium", "planted@example.com"));
    loud.attributes.push(text("vllm.compilation.mode", "AKIAPLANTED012345678"));
    loud.attributes.push(text("vllm.kv_connector", &"x".repeat(2000)));
    loud.links.push(Link {
        trace_id: vec![1; 16],
        span_id: vec![1; 8],
        trace_state: format!("a={SECRET}"),
        attributes: vec![text("otel_usage.record.kind", SECRET)],
        ..Default::default()
    });
    loud.events.push(Event {
        name: SECRET.to_owned(),
        attributes: vec![text("exception.stacktrace", SECRET)],
        ..Default::default()
    });
    // A map and a list with a map in it, under names that are allowed.
    let mut map = span("0000000000000003");
    map.attributes.push(key("vllm.env", nested()));
    let mut list = span("0000000000000004");
    list.attributes.push(key("lmcache.kv.shape", array([any("a]\\\""), nested()])));
    // A span with our scope that is not a usage record, and one with another scope.
    let mut nameless = span("0000000000000005");
    nameless.attributes = vec![text("otel_usage.platform", SECRET)];
    let mut foreign = span("0000000000000006");
    foreign.attributes.push(text("otel_usage.platform", SECRET));
    let mut request = request("otel_usage", vec![good, loud, map, list, nameless]);
    request.resource_spans[0].scope_spans.push(scope("other", vec![foreign]));
    assert_eq!(client::post_spans(otelcol.http, &request), Some(200));
    let mut mapped = self::request("otel_usage", vec![span("0000000000000007")]);
    let resource = mapped.resource_spans[0].resource.as_mut().unwrap();
    resource.attributes.push(key("otel_usage.platform", nested()));
    assert_eq!(client::post_spans(otelcol.http, &mapped), Some(200));

    otelcol.stop();
    let mut passed = Vec::new();
    for request in bridge.requests.try_iter() {
        let body = client::body(&request);
        assert!(!String::from_utf8_lossy(&body).contains(SECRET), "a secret passed");
        for group in ExportTraceServiceRequest::decode(body.as_slice()).unwrap().resource_spans {
            assert_eq!(group.schema_url, "");
            assert_eq!(group.resource.unwrap().attributes, [text("service.name", "vllm")]);
            for scope in group.scope_spans {
                assert_eq!(scope.schema_url, "");
                assert_eq!(scope.scope.unwrap().attributes, []);
                passed.extend(scope.spans);
            }
        }
    }
    passed.sort_by(|a, b| a.span_id.cmp(&b.span_id));
    let ids: Vec<u8> = passed.iter().map(|span| span.span_id[7]).collect();
    assert_eq!(ids, [1, 2]);
    assert!(passed.iter().all(|span| span.name == vllm::REPORT));
    // The span with foreign attributes keeps all allowed ones.
    let masked = |key: &str| {
        let found = passed[1].attributes.iter().find(|attribute| attribute.key == key).unwrap();
        let Some(Any::StringValue(text)) = found.value.clone().unwrap().value else { panic!() };
        text
    };
    assert_eq!(masked("otel_usage.record.kind"), vllm::REPORT);
    assert_eq!(masked("vllm.model.dtype"), "****");
    assert_eq!(masked("lmcache.remote.url"), "redis****host");
    assert_eq!(masked("vllm.attention.backend"), "****");
    assert_eq!(masked("lmcache.l1.medium"), "****");
    assert_eq!(masked("vllm.compilation.mode"), "****");
    assert_eq!(masked("vllm.kv_connector").len(), 1024);
}

/// Checks that the masks hide secrets and keep words that only begin like a secret.
#[test]
fn the_gate_passes_model_names() {
    let Some(binary) = find() else { return };
    let bridge = Receiver::start();
    let otelcol =
        Otelcol::new(&binary, "direct.yaml").with("COLLECTOR_BRIDGE", bridge.url()).started();
    let names = [
        "hf-internal-testing/tiny-random-LlamaForCausalLM",
        "my-org/home-assistant-instruct-7b",
        "desk-research/task-classification-large-v2",
        "root/Users.home",
        "<local>",
    ];
    let spans = names.iter().enumerate().map(|(at, name)| {
        let mut span = span(&format!("{:016x}", at + 1));
        span.attributes.push(text("lmcache.model.name", name));
        span
    });
    let request = request("otel_usage", spans.collect());
    assert_eq!(client::post_spans(otelcol.http, &request), Some(200));
    let records = client::arrived(&bridge, names.len());
    for (record, name) in records.values().zip(names) {
        assert!(record.contains(&format!("span lmcache.model.name={name:?}")), "{record:?}");
    }
}

/// Checks a third engine's contract, whose operator gives the collector a second file with a longer list.
#[test]
fn an_own_allow_list_passes_an_own_engine() {
    let Some(binary) = find() else { return };
    let bridge = Receiver::start();
    let list =
        ["otel_usage.contract", "otel_usage.record.kind", "service.name", "my_engine.layers"];
    let addition = format!("processors: {{redaction: {{allowed_keys: [{}]}}}}\n", list.join(", "));
    let otelcol = Otelcol::new(&binary, "direct.yaml")
        .with("COLLECTOR_BRIDGE", bridge.url())
        .with_addition(&addition)
        .started();
    let mut own = span("0000000000000001");
    own.attributes = vec![
        text("otel_usage.contract", "my_engine/1"),
        text("otel_usage.record.kind", "my_engine.report"),
        text("my_engine.layers", "32"),
        text("my_engine.prompt", SECRET),
    ];
    let request = request("otel_usage", vec![own]);
    assert_eq!(client::post_spans(otelcol.http, &request), Some(200));
    let records = client::arrived(&bridge, 1);
    let attributes: Vec<&str> = records.values().flatten().map(String::as_str).collect();
    assert_eq!(
        attributes,
        [
            "resource service.name=\"vllm\"",
            "span my_engine.layers=\"32\"",
            "span otel_usage.contract=\"my_engine/1\"",
            "span otel_usage.record.kind=\"my_engine.report\"",
        ]
    );
}

/// Checks that links are cleared, by a function that a feature gate switches on.
#[test]
fn links_do_not_pass_even_without_the_gate() {
    let Some(binary) = find() else { return };
    let bridge = Receiver::start();
    let mut otelcol = Otelcol::new(&binary, "direct.yaml")
        .with("COLLECTOR_BRIDGE", bridge.url())
        .without_gate()
        .started();
    let mut linked = span("0000000000000001");
    linked.links.push(Link { trace_id: vec![1; 16], span_id: vec![1; 8], ..Default::default() });
    let request = request("otel_usage", vec![linked]);
    assert_eq!(client::post_spans(otelcol.http, &request), Some(200));
    otelcol.stop();
    assert!(bridge.is_silent());
}

pub(crate) fn request(scope_name: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let resource = Resource {
        attributes: vec![text("service.name", "vllm"), text("host.name", SECRET)],
        ..Default::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![scope(scope_name, spans)],
            schema_url: format!("https://example.com/{SECRET}"),
        }],
    }
}

fn scope(name: &str, spans: Vec<Span>) -> ScopeSpans {
    let scope = InstrumentationScope {
        name: name.to_owned(),
        version: SECRET.to_owned(),
        attributes: vec![text("otel_usage.platform", SECRET)],
        ..Default::default()
    };
    ScopeSpans { scope: Some(scope), spans, schema_url: SECRET.to_owned() }
}

pub(crate) fn span(id: &str) -> Span {
    Span {
        trace_id: vec![7; 16],
        span_id: (0..8)
            .map(|at| u8::from_str_radix(&id[2 * at..2 * at + 2], 16).unwrap())
            .collect(),
        name: vllm::REPORT.to_owned(),
        start_time_unix_nano: 1,
        end_time_unix_nano: 2,
        attributes: vec![
            text("otel_usage.contract", "vllm/current"),
            text("otel_usage.record.kind", vllm::REPORT),
            // A map inside a string is a string.
            text("vllm.env", "{\"VLLM_USE_MODELSCOPE\": {\"a\": [{}]}}"),
        ],
        ..Default::default()
    }
}

fn key(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value), ..Default::default() }
}

fn text(name: &str, value: &str) -> KeyValue {
    key(name, any(value))
}

fn any(text: &str) -> AnyValue {
    AnyValue { value: Some(Any::StringValue(text.to_owned())) }
}

fn array(values: [AnyValue; 2]) -> AnyValue {
    AnyValue { value: Some(Any::ArrayValue(ArrayValue { values: values.into() })) }
}

fn nested() -> AnyValue {
    let values = vec![text("prompt", SECRET)];
    AnyValue { value: Some(Any::KvlistValue(KeyValueList { values })) }
}
