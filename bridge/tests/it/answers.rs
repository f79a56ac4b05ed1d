//! Checks which answer a sender gets for each answer of the usage server, and that nothing is sent
//! twice.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use otel_usage::Consent;
use otel_usage::schema::{lmcache, transport};
use otel_usage::settings::Env;
use otel_usage_bridge::FileExporter;
use otel_usage_testing::PATIENCE;
use otel_usage_testing::served::{
    Served, beat, beat_with, beats, config, gzip, operator, request, span, to, to_url, zstd,
};
use otel_usage_testing::upstream::{Reply, Upstream, unreachable};
use prost::Message as _;
use tonic::Code;
use tonic_types::StatusExt as _;

async fn told(reply: Reply) -> (u16, Option<String>) {
    let upstream = Upstream::scripted(move |_, _| reply).await;
    let mut config = to(&upstream);
    config.limits.post = Duration::from_millis(200);
    let served = Served::start(&config).await;
    let answer = served.send(&beats([1])).await;
    let after = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    (answer.status().as_u16(), after)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_server_answer_maps_to_one_answer_to_the_sender() {
    let pause = Some("5".to_owned());
    for (reply, status, after) in [
        (Reply::Status(200), 200, None),
        (Reply::Status(204), 200, None),
        (Reply::Status(408), 503, pause.clone()),
        (Reply::Status(429), 503, pause.clone()),
        (Reply::After(429, "17"), 503, Some("17".to_owned())),
        (Reply::After(503, "0"), 503, Some("1".to_owned())),
        // Limited, because a queue may not be able to wait that long.
        (Reply::After(503, "86400"), 503, Some("300".to_owned())),
        (Reply::Status(500), 503, pause.clone()),
        (Reply::Status(502), 503, pause.clone()),
        (Reply::Held, 503, pause.clone()),
        (Reply::Status(400), 400, None),
        (Reply::Status(404), 400, None),
        // The consent does not cover this server.
        (Reply::Status(302), 400, None),
    ] {
        assert_eq!(told(reply).await, (status, after), "{reply:?}");
    }
    let served = Served::start(&to_url(&unreachable().await)).await;
    assert_eq!(served.send(&beats([1])).await.status(), 503);
    assert_eq!(
        served
            .count(r#"upstream_answers_total{contract="vllm/current",class="unreachable"}"#)
            .await,
        1.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_gets_the_same_answers_as_http() {
    for (reply, code, pause) in [
        (Reply::After(429, "17"), Code::Unavailable, Some(Duration::from_secs(17))),
        (Reply::Status(500), Code::Unavailable, Some(Duration::from_secs(5))),
        (Reply::Status(400), Code::InvalidArgument, None),
    ] {
        let upstream = Upstream::scripted(move |_, _| reply).await;
        let served = Served::start(&to(&upstream)).await;
        let mut client = TraceServiceClient::connect(served.url.clone()).await.unwrap();
        let status = client.export(beats([1])).await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
        assert_eq!(status.get_details_retry_info().and_then(|info| info.retry_delay), pause);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_record_does_not_stop_others() {
    let upstream =
        Upstream::scripted(|_, post| Reply::Status(if post.body == beat(2) { 422 } else { 200 }))
            .await;
    let served = Served::start(&to(&upstream)).await;
    // A part is delivered, so a collector must not count the whole request as lost.
    let rejected = |answer: reqwest::Response| async {
        assert_eq!(answer.status(), 200);
        let answer = ExportTraceServiceResponse::decode(answer.bytes().await.unwrap()).unwrap();
        answer.partial_success.unwrap().rejected_spans
    };
    assert_eq!(rejected(served.send(&beats(0..5)).await).await, 1);
    let mut bodies = upstream.bodies();
    bodies.sort();
    assert_eq!(bodies, (0..5).map(beat).collect::<Vec<_>>());
    assert_eq!(served.count(r#"records_delivered_total{sink="server"}"#).await, 4.0);
    assert_eq!(served.count(r#"records_dropped_total{reason="refused"}"#).await, 1.0);
    // A repeated request is not posted to the server again, in no form.
    assert_eq!(rejected(served.send(&beats(0..5)).await).await, 1);
    let json = serde_json::to_vec(&beats(0..5)).unwrap();
    let answer = served.post("/v1/traces", "application/json", None, json).await;
    let answer: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(answer["partialSuccess"]["rejectedSpans"], "1");
    let mut client = TraceServiceClient::connect(served.url.clone()).await.unwrap();
    let answer = client.export(beats(0..5)).await.unwrap().into_inner();
    assert_eq!(answer.partial_success.unwrap().rejected_spans, 1);
    assert_eq!(upstream.posts().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_sends_only_the_missing_records() {
    // Two of five fail the first time, and one is refused for good.
    let upstream = Upstream::scripted(|before, post| {
        Reply::Status(match () {
            () if post.body == beat(4) => 400,
            () if before < 5 && (post.body == beat(1) || post.body == beat(3)) => 500,
            () => 200,
        })
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flat.jsonl");
    let mut config = to(&upstream);
    config.exporters.file = Some(FileExporter::new(&path));
    let served = Served::start(&config).await;
    // A record that can still be delivered decides the answer before a refused one.
    assert_eq!(served.send(&beats(0..5)).await.status(), 503);
    assert_eq!(served.send(&beats(0..5)).await.status(), 200);
    let mut bodies = upstream.bodies();
    bodies.sort();
    assert_eq!(bodies, [0, 1, 1, 2, 3, 3, 4].map(beat));
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 5);
    // Two records were delivered already, and one is refused for good.
    assert_eq!(served.count(r#"records_skipped_total{reason="duplicate"}"#).await, 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_in_flight_is_not_sent_twice() {
    let upstream = Upstream::scripted(|_, _| Reply::Held).await;
    let served = Served::start(&to(&upstream)).await;
    // The sender gives up and repeats the request while the first POST is still open.
    let first = tokio::spawn({
        let request = served.client.post(format!("{}/v1/traces", served.url));
        let request = request.header("content-type", "application/x-protobuf");
        request.body(beats([1]).encode_to_vec()).send()
    });
    upstream.until(1).await;
    first.abort();
    assert_eq!(served.send(&beats([1])).await.status(), 503);
    upstream.release();
    let delivered = async { while served.send(&beats([1])).await.status() == 503 {} };
    tokio::time::timeout(PATIENCE, delivered).await.unwrap();
    assert_eq!(upstream.bodies(), [beat(1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_one_engine_keep_their_order_and_wait_for_each_other() {
    let read = |file: &str| {
        std::fs::read_to_string(format!("{}/../tests/golden/{file}", env!("CARGO_MANIFEST_DIR")))
            .unwrap()
    };
    let one = |file, message, n| span(&lmcache::V1, message, &read(file), n);
    let engine = || {
        request([
            one("lmcache-v1-env.json", "EnvMessage", 1),
            one("lmcache-v1-engine.json", "EngineMessage", 2),
            one("lmcache-v1-metadata.json", "MetadataMessage", 3),
        ])
    };
    let kind = |body: &str| {
        serde_json::from_str::<serde_json::Value>(body).unwrap()["message_type"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let upstream =
        Upstream::scripted(move |before, _| Reply::Status(if before == 1 { 500 } else { 200 }))
            .await;
    let served = Served::start(&to(&upstream)).await;
    assert_eq!(served.send(&engine()).await.status(), 503);
    assert_eq!(served.send(&engine()).await.status(), 200);
    let kinds: Vec<String> = upstream.bodies().iter().map(|body| kind(body)).collect();
    assert_eq!(kinds, ["EnvMessage", "EngineMessage", "EngineMessage", "MetadataMessage"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn engines_do_not_wait_for_each_other() {
    let upstream = Upstream::scripted(|_, _| Reply::Held).await;
    let mut config = to(&upstream);
    config.limits.posts = 20;
    let served = Served::start(&config).await;
    // No POST is answered before all of them are open.
    let request = beats(0..20);
    let release = async {
        upstream.until(20).await;
        upstream.release();
    };
    assert_eq!(tokio::join!(served.send(&request), release).0.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_the_engine_posted_itself_are_not_posted_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flat.jsonl");
    let upstream = Upstream::new().await;
    let mut config = to(&upstream);
    config.exporters.file = Some(FileExporter::new(&path));
    let served = Served::start(&config).await;
    let direct = beat_with(1, transport::DELIVERY, "direct");
    assert_eq!(served.send(&direct).await.status(), 200);
    assert_eq!(upstream.posts().len(), 0);
    assert_eq!(served.count(r#"records_skipped_total{reason="direct"}"#).await, 1.0);
    // A local copy does not count as a second delivery.
    assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", beat(1)));

    config.forward_direct = true;
    let forwarding = Served::start(&config).await;
    assert_eq!(forwarding.send(&direct).await.status(), 200);
    assert_eq!(upstream.bodies(), [beat(1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unwritable_file_asks_the_sender_to_retry() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flat.jsonl");
    let mut config = config();
    config.exporters.file = Some(FileExporter::new(&path));
    let served = Served::start(&config).await;
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert_eq!(served.send(&beats([1])).await.status(), 503);
    std::fs::remove_dir(&path).unwrap();
    assert_eq!(served.send(&beats([1])).await.status(), 200);
    assert_eq!(served.send(&beats([1])).await.status(), 200);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", beat(1)));
}

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

#[tokio::test(flavor = "multi_thread")]
async fn the_bridge_obeys_the_opt_outs_of_its_machine() {
    for (switch, consent) in [("VLLM_NO_USAGE_STATS", Consent::Off), ("local", Consent::Local)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flat.jsonl");
        let upstream = Upstream::new().await;
        let mut config = to(&upstream);
        config.exporters.file = Some(FileExporter::new(&path));
        let mode = if switch == "local" { "local" } else { "on" };
        config.operator = operator(Env::given([
            ("OTEL_USAGE_MODE", mode),
            ("HOME", "/nonexistent"),
            (switch, "1"),
        ]));
        let served = Served::start(&config).await;
        assert_eq!(served.send(&beats([1])).await.status(), 200);
        assert_eq!(upstream.posts().len(), 0, "{switch}");
        let written = std::fs::read_to_string(&path).unwrap().lines().count();
        assert_eq!(written, usize::from(consent == Consent::Local), "{switch}");
        assert_eq!(served.count(r#"records_skipped_total{reason="consent"}"#).await, 1.0);
    }
    let mut config = config();
    config.exporters.console = true;
    config.operator = operator(Env::given([("DO_NOT_TRACK", "1")]));
    let error = otel_usage_bridge::Bridge::bind(&config).await.unwrap_err().to_string();
    assert!(error.contains("DO_NOT_TRACK"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_is_accounted_for() {
    let upstream = Upstream::scripted(|_, post| {
        // The engine's number decides whether its record is taken, refused or has to wait.
        let n = post.body.as_bytes()[post.body.find("log_time").unwrap() - 5];
        Reply::Status([200, 200, 400, 500][usize::from(n % 4)])
    })
    .await;
    let served = Served::start(&to(&upstream)).await;
    let mut batch = beats(0..50);
    batch.resource_spans.extend(beat_with(60, transport::DELIVERY, "direct").resource_spans);
    batch.resource_spans.extend(beat_with(61, transport::CONTRACT, "other/1").resource_spans);
    for _ in 0..3 {
        served.send(&batch).await;
    }
    let metrics = served.metrics().await;
    let sum = |name: &str| -> f64 {
        metrics.iter().filter(|(key, _)| key.starts_with(name)).map(|(_, value)| value).sum()
    };
    assert_eq!(sum("records_received_total"), 156.0);
    let ends = [
        "records_delivered_total",
        "records_skipped_total",
        "records_dropped_total",
        "records_postponed_total",
    ];
    assert_eq!(ends.map(sum).iter().sum::<f64>(), 156.0, "{metrics:?}");
    assert!(ends.map(sum).iter().all(|count| *count > 0.0), "{metrics:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_documented() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/receiver/bridge.md");
    let page = std::fs::read_to_string(page).unwrap();
    let upstream =
        Upstream::scripted(|before, _| Reply::Status(if before == 0 { 200 } else { 500 })).await;
    let served = Served::start(&to(&upstream)).await;
    // A counter appears with its first event.
    served.send(&beat_with(1, "planted", "x")).await;
    served.send(&beats([2])).await;
    served.send(&beat_with(3, transport::CONTRACT, "other/1")).await;
    let log = br#"{"resourceLogs": [{"scopeLogs": [{"logRecords": [{}]}]}]}"#;
    served.post("/v1/logs", "application/json", None, log.to_vec()).await;
    let text = served.client.get(format!("{}/metrics", served.url)).send().await.unwrap();
    let text = text.text().await.unwrap();
    let types: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE otel_usage_bridge_")).collect();
    assert_eq!(types.len(), 13, "{text}");
    for line in types {
        let (name, kind) = line.split_once(' ').unwrap();
        let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
        assert!(page.contains(&format!("`{name}`")), "{name} is not in docs/receiver/bridge.md");
    }
}
