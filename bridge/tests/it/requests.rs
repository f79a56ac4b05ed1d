//! Checks which requests are taken, and in which form the others are refused.

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use otel_usage::schema::transport;
use otel_usage_testing::served::{Served, beat, beat_with, beats, gzip, to, zstd};
use otel_usage_testing::upstream::{Reply, Upstream};
use prost::Message as _;
use tonic::Code;
use tonic_types::StatusExt as _;

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_requests_fail_for_good_and_foreign_spans_succeed() {
    let upstream = Upstream::new().await;
    let served = Served::start(&to(&upstream)).await;
    for (media_type, encoding, body, status) in [
        ("application/x-protobuf", None, &b"\xff\xff\xff"[..], 400),
        ("application/json", None, b"{\"resourceSpans\": 7}", 400),
        ("application/json", None, b"{\"resourceSpans\": [7]}", 400),
        ("application/json", None, b"[]", 400),
        ("application/json", Some("gzip"), b"{}", 400),
        ("application/json", Some("br"), b"{}", 415),
        ("text/plain", None, b"{}", 415),
        ("application/json", None, b"{}", 200),
    ] {
        let answer = served.post("/v1/traces", media_type, encoding, body.to_vec()).await;
        assert_eq!(answer.status(), status, "{media_type} {encoding:?} {body:?}");
        assert_eq!(answer.headers().get("retry-after"), None);
    }
    let mut foreign = beats([1]);
    foreign.resource_spans[0].scope_spans[0].scope.as_mut().unwrap().name = "prompts".to_owned();
    let mut unknown = beats([2]);
    unknown.resource_spans[0].scope_spans[0].spans[0].name = "vllm.nothing".to_owned();
    for request in [
        foreign,
        unknown,
        beat_with(3, transport::CONTRACT, "other/1"),
        beat_with(4, transport::RECORD_KIND, transport::RUN),
    ] {
        assert_eq!(served.send(&request).await.status(), 200);
    }
    for reason in ["foreign_scope", "unknown_record", "unknown_contract", "run"] {
        let name = format!("records_skipped_total{{reason=\"{reason}\"}}");
        assert_eq!(served.count(&name).await, 1.0, "{reason}");
    }
    assert_eq!(served.client.get(&served.url).send().await.unwrap().status(), 404);
    assert_eq!(upstream.posts().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_carries_a_status_in_the_form_of_the_request() {
    let upstream = Upstream::scripted(|_, _| Reply::Status(400)).await;
    let mut config = to(&upstream);
    config.limits.body_bytes = 2000;
    let served = Served::start(&config).await;
    let large = vec![b' '; 3000];
    for (method, path, body, status) in [
        ("POST", "/v1/metrics", b"{}".to_vec(), 404),
        ("POST", "/", b"{}".to_vec(), 404),
        ("GET", "/v1/traces", Vec::new(), 405),
        ("PUT", "/v1/logs", b"{}".to_vec(), 405),
        ("POST", "/healthz", b"{}".to_vec(), 405),
        ("POST", "/v1/traces", large, 413),
        ("POST", "/v1/traces", b"\xff\xff".to_vec(), 400),
        ("POST", "/v1/traces", beats([1]).encode_to_vec(), 400),
    ] {
        for media_type in ["application/x-protobuf", "Application/JSON; charset=utf-8"] {
            let is_json = media_type.contains("JSON");
            let body = if is_json && status == 400 && body.len() > 2 {
                serde_json::to_vec(&beats([2])).unwrap()
            } else {
                body.clone()
            };
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let request = served.client.request(method, format!("{}{path}", served.url));
            let request = request.header("content-type", media_type).body(body);
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), status, "{path} {media_type}");
            assert_eq!(answer.headers().contains_key("allow"), status == 405);
            let named = answer.headers()["content-type"].to_str().unwrap().to_owned();
            let bytes = answer.bytes().await.unwrap();
            let message = if is_json {
                assert_eq!(named, "application/json", "{path}");
                let status: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                status["message"].as_str().unwrap().to_owned()
            } else {
                assert_eq!(named, "application/x-protobuf", "{path}");
                tonic_types::Status::decode(bytes).unwrap().message
            };
            assert!(message.len() > 5, "{path} {message}");
        }
    }
    // Of an unknown content type or encoding a person may be the sender.
    for (media_type, encoding) in [("text/plain", None), ("application/json", Some("br"))] {
        let answer = served.post("/v1/traces", media_type, encoding, b"{}".to_vec()).await;
        assert_eq!(answer.status(), 415);
        let status: serde_json::Value =
            serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert!(status["message"].as_str().unwrap().contains('`') == encoding.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn media_types_have_no_case_and_an_empty_encoding_is_none() {
    let upstream = Upstream::new().await;
    let served = Served::start(&to(&upstream)).await;
    let body = beats([1]).encode_to_vec();
    for (media_type, encoding, body) in [
        ("APPLICATION/X-Protobuf", Some(""), body.clone()),
        ("application/x-protobuf ; charset=utf-8", Some("identity"), body.clone()),
        ("application/x-protobuf", Some("GZIP"), gzip(&body)),
        ("application/x-protobuf", Some(" x-gzip "), gzip(&body)),
        ("application/x-protobuf", Some("Zstd"), zstd(&body)),
    ] {
        let answer = served.post("/v1/traces", media_type, encoding, body).await;
        assert_eq!(answer.status(), 200, "{media_type} {encoding:?}");
    }
    assert_eq!(upstream.bodies(), [beat(1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_does_not_ask_to_retry_an_oversized_request() {
    let upstream = Upstream::new().await;
    let mut config = to(&upstream);
    config.limits.decoded_bytes = 2000;
    let served = Served::start(&config).await;
    let mut client = TraceServiceClient::connect(served.url.clone()).await.unwrap();
    let status = client.export(beats(0..100)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.get_details_retry_info().is_none());
}
