//! Checks OTLP in JSON as other writers have it: everything that protobuf's JSON mapping allows is read.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use otel_usage_testing::served::{Served, beat, beats, to};
use otel_usage_testing::upstream::Upstream;
use serde_json::{Value as Json, json};

/// Returns a heartbeat as JSON, changed by `change`.
fn changed(n: u64, change: impl Fn(&mut Json)) -> String {
    let mut request = serde_json::to_value(beats([n])).unwrap();
    change(&mut request);
    request.to_string()
}

/// Returns the only span of a request.
fn span(request: &mut Json) -> &mut Json {
    &mut request["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
}

async fn arrives(body: String) -> Vec<String> {
    let upstream = Upstream::new().await;
    let served = Served::start(&to(&upstream)).await;
    let answer = served.post("/v1/traces", "application/json", None, body.clone().into()).await;
    assert_eq!(answer.status(), 200, "{body}");
    upstream.bodies()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_spelling_of_protobufs_json_is_read() {
    let more = |value: Json| {
        move |request: &mut Json| {
            let attribute = json!({ "key": "vllm.other", "value": value });
            let list = span(request)["attributes"].as_array_mut().unwrap();
            list.insert(0, attribute);
        }
    };
    let values = [
        json!({ "arrayValue": {} }),
        json!({ "arrayValue": { "values": null } }),
        json!({ "kvlistValue": {} }),
        json!({ "kvlistValue": { "values": [] } }),
        json!({ "doubleValue": "NaN" }),
        json!({ "doubleValue": "-Infinity" }),
        json!({ "doubleValue": 1 }),
        json!({ "doubleValue": "1.5e3" }),
        json!({ "intValue": 5 }),
        json!({ "intValue": "5" }),
        json!({ "intValue": 5.0 }),
        json!({ "intValue": "what" }),
        json!({ "bytesValue": "_-8" }),
        json!({ "bytesValue": "/+8=" }),
        json!({ "boolValue": null, "stringValue": "x" }),
        json!({ "string_value": "x" }),
        json!({}),
        Json::Null,
        json!({ "newValue": [1, { "a": null }] }),
    ];
    for value in values {
        assert_eq!(arrives(changed(1, more(value.clone()))).await, [beat(1)], "{value}");
    }
    for entry in [json!(5), Json::Null, json!({ "key": 5 }), json!({ "value": [] }), json!("x")] {
        let broken = |request: &mut Json| {
            span(request)["attributes"].as_array_mut().unwrap().insert(0, entry.clone());
        };
        assert_eq!(arrives(changed(1, broken)).await, [beat(1)], "{entry}");
    }
    let text = changed(1, |_| {});
    let unset = [
        changed(1, |request| request["resourceSpans"][0]["schemaUrl"] = Json::Null),
        changed(1, |request| {
            request["resourceSpans"][0]["scopeSpans"][0]["scope"]["attributes"] = Json::Null
        }),
        changed(1, |request| {
            let span = span(request);
            for field in ["events", "links", "status", "traceState", "flags", "parentSpanId"] {
                span[field] = Json::Null;
            }
        }),
        changed(1, |request| {
            let span = span(request);
            span["kind"] = json!("SPAN_KIND_SERVER");
            span["status"] = json!({ "code": "STATUS_CODE_OK" });
            span["aFieldOfTomorrow"] = json!([[{}]]);
        }),
        changed(1, |request| {
            let span = span(request);
            let end = span["endTimeUnixNano"].as_str().unwrap().parse::<u64>().unwrap();
            span["endTimeUnixNano"] = json!(end);
        }),
        changed(1, |request| {
            // A writer that does not know OTLP's rule for ids writes base64.
            let span = span(request);
            span["traceId"] = json!("AAAAAAAAAAAAAAAAAAAAAg");
            span["spanId"] = json!("AAAAAAAAAAI=");
        }),
        changed(1, |request| {
            request["resource_spans"] = request["resourceSpans"].take();
            request.as_object_mut().unwrap().remove("resourceSpans");
        }),
        text.replace("resourceSpans", "\\u0072esourceSpans"),
        text.replace("endTimeUnixNano", "end_time_unix_nano"),
        format!(" \n{text}\t\n"),
    ];
    for body in unset {
        assert_eq!(arrives(body.clone()).await, [beat(1)], "{body}");
    }
    // The Resource may stand behind the spans.
    let mut request = serde_json::to_value(beats([1])).unwrap();
    let group = request["resourceSpans"][0].as_object_mut().unwrap();
    let (resource, scopes) = (group["resource"].take(), group["scopeSpans"].take());
    let body =
        format!(r#"{{"resourceSpans": [{{"scopeSpans": {scopes}, "resource": {resource}}}]}}"#);
    assert_eq!(arrives(body).await, [beat(1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_costs_no_other() {
    let upstream = Upstream::new().await;
    let served = Served::start(&to(&upstream)).await;
    let mut request = serde_json::to_value(beats([1, 2, 3, 4])).unwrap();
    let spans = |request: &mut Json, n: usize| {
        request["resourceSpans"][n]["scopeSpans"][0]["spans"][0].take()
    };
    let odd = [
        json!(7),
        json!({ "attributes": 7 }),
        json!({ "attributes": [{ "key": 7, "value": {} }] }),
    ];
    for (n, odd) in odd.into_iter().enumerate() {
        let good = spans(&mut request, n);
        request["resourceSpans"][n]["scopeSpans"][0]["spans"] = json!([odd, good]);
    }
    let body =
        request.to_string().replace("\"key\":\"otel_usage.record.id\"", "\"key\":\"\\ud800\"");
    let answer = served.post("/v1/traces", "application/json", None, body.into()).await;
    assert_eq!(answer.status(), 200);
    let mut bodies = upstream.bodies();
    bodies.sort();
    assert_eq!(bodies, (1..5).map(beat).collect::<Vec<_>>());
    assert_eq!(served.count(r#"records_dropped_total{reason="malformed"}"#).await, 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protobuf_record_that_is_cut_off_costs_no_other() {
    use prost::Message as _;
    let upstream = Upstream::new().await;
    let served = Served::start(&to(&upstream)).await;
    let request: ExportTraceServiceRequest = beats([1]);
    let mut bytes = request.encode_to_vec();
    // A group with our scope and a span whose only byte promises more.
    let scope = b"\x0a\x0c\x0a\x0aotel_usage\x12\x01\x4a";
    let group = [&[0x12, u8::try_from(scope.len()).unwrap()][..], scope].concat();
    bytes.extend([0x0a, u8::try_from(group.len()).unwrap()]);
    bytes.extend(group);
    let answer = served.post("/v1/traces", "application/x-protobuf", None, bytes).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(upstream.bodies(), [beat(1)]);
    assert_eq!(served.count(r#"records_dropped_total{reason="malformed"}"#).await, 1.0);
}
