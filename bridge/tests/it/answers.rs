//! Checks which answer a sender gets for each answer of the usage server and of the local exporters.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use otel_usage_bridge::FileExporter;
use otel_usage_testing::served::{Served, beat, beats, config, to, to_url};
use otel_usage_testing::upstream::{Reply, Upstream, unreachable};
use prost::Message as _;
use tonic::Code;
use tonic_types::StatusExt as _;

async fn told(reply: Reply) -> (u16, Option<String>) {
    let upstream = Upstream::scripted(move |_, _| reply).await;
    let mut config = to(&upstream);
    if matches!(reply, Reply::Held) {
        config.limits.post = Duration::from_millis(200);
    }
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
