//! Checks that nothing is sent twice, and in which order messages are sent.

use otel_usage::schema::{lmcache, transport};
use otel_usage_bridge::FileExporter;
use otel_usage_testing::PATIENCE;
use otel_usage_testing::served::{Served, beat, beat_with, beats, request, span, to};
use otel_usage_testing::upstream::{Reply, Upstream};
use prost::Message as _;

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
