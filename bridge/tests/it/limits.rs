//! What senders cannot do to the bridge, and to each other.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::codec::CompressionEncoding;

use crate::served::{Served, beat, beats, gzip, to, zstd};
use crate::upstream::{Reply, Upstream};

/// Long enough for everything on a slow machine; a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_before_and_after_decompression() {
    let upstream = Upstream::new().await;
    let mut config = to(&upstream);
    config.limits.body_bytes = 100_000;
    config.limits.decoded_bytes = 1_000_000;
    let served = Served::start(&config).await;
    let bomb = vec![b' '; 50_000_000];
    for (encoding, body) in
        [(None, vec![b' '; 200_000]), (Some("gzip"), gzip(&bomb)), (Some("zstd"), zstd(&bomb))]
    {
        assert!(encoding.is_none() || body.len() < 100_000, "the bomb itself is too large");
        let answer = served.post("/v1/traces", "application/json", encoding, body).await;
        assert_eq!(answer.status(), 413, "{encoding:?}");
    }
    // The same over gRPC: a request that is small on the way and large when unpacked.
    let mut request = beats([1]);
    request.resource_spans[0].scope_spans[0].spans[0].trace_state = "x".repeat(2_000_000);
    for compression in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let client = TraceServiceClient::connect(served.url.clone()).await.unwrap();
        let status = client.send_compressed(compression).export(request.clone()).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}");
    }
    assert_eq!(served.send(&beats([1])).await.status(), 200);
    assert_eq!(upstream.bodies(), [beat(1)]);
}

/// Whatever the bridge says until it closes the connection.
async fn until_closed(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await.unwrap().unwrap();
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_sender_is_sent_away_and_holds_nobody_up() {
    let upstream = Upstream::new().await;
    let mut config = to(&upstream);
    config.limits.read = Duration::from_millis(300);
    config.limits.connections = 2;
    let served = Served::start(&config).await;
    // One says nothing, one stops in its head: both places are taken.
    let _silent = TcpStream::connect(served.address()).await.unwrap();
    let mut head = TcpStream::connect(served.address()).await.unwrap();
    head.write_all(b"POST /v1/traces HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    until_closed(&mut head).await;
    // The next one stops in its body, and is told to come again.
    let mut body = TcpStream::connect(served.address()).await.unwrap();
    body.write_all(b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{")
        .await
        .unwrap();
    let said = until_closed(&mut body).await;
    assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
    assert_eq!(served.send(&beats([1])).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_there_are_places_come_again_later() {
    let upstream = Upstream::scripted(|_, _| Reply::Never).await;
    let mut config = to(&upstream);
    config.limits.requests = 1;
    config.limits.post = Duration::from_secs(2);
    let served = Served::start(&config).await;
    let (url, client) = (format!("{}/v1/traces", served.url), served.client.clone());
    let first = tokio::spawn(async move {
        let request = client.post(url).header("content-type", "application/x-protobuf");
        request.body(beats([1]).encode_to_vec()).send().await.unwrap().status()
    });
    while upstream.posts().is_empty() {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    let answer = served.send(&beats([2])).await;
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()),
        (503, "5")
    );
    assert!(began.elapsed() < Duration::from_secs(1), "it waited for the other");
    // Health and metrics need no place.
    assert_eq!(
        served.client.get(format!("{}/healthz", served.url)).send().await.unwrap().status(),
        200
    );
    assert_eq!(served.count("requests_in_flight").await, 1.0);
    assert_eq!(first.await.unwrap(), 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_too_long_is_answered_in_time() {
    // Each POST is quick enough, all of them together are not.
    let upstream = Upstream::scripted(|_, _| Reply::Slowly(Duration::from_millis(100))).await;
    let mut config = to(&upstream);
    config.limits.posts = 1;
    config.limits.deliver = Duration::from_millis(450);
    let served = Served::start(&config).await;
    let began = Instant::now();
    assert_eq!(served.send(&beats(0..100)).await.status(), 503);
    assert!(began.elapsed() < Duration::from_secs(5));
    let sent = upstream.posts().len();
    assert!((1..20).contains(&sent), "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_stop_it_finishes_what_is_at_work_and_takes_nothing_new() {
    let upstream = Upstream::scripted(|_, _| Reply::Slowly(Duration::from_millis(500))).await;
    let served = Served::start(&to(&upstream)).await;
    let (url, client) = (served.url.clone(), served.client.clone());
    let at_work = tokio::spawn(async move {
        let request = client
            .post(format!("{url}/v1/traces"))
            .header("content-type", "application/x-protobuf");
        request.body(beats([1]).encode_to_vec()).send().await.unwrap().status()
    });
    while upstream.posts().is_empty() {
        tokio::task::yield_now().await;
    }
    let address = served.address().to_owned();
    let stopping = served.ask_to_stop();
    let began = Instant::now();
    while TcpStream::connect(&address).await.is_ok() {
        assert!(began.elapsed() < PATIENCE, "it still takes connections");
        tokio::task::yield_now().await;
    }
    assert_eq!(at_work.await.unwrap(), 200);
    assert!(stopping.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_finish_is_left_after_the_deadline() {
    let upstream = Upstream::scripted(|_, _| Reply::Never).await;
    let mut config = to(&upstream);
    config.limits.drain = Duration::from_millis(200);
    let served = Served::start(&config).await;
    let (url, client) = (served.url.clone(), served.client.clone());
    tokio::spawn(async move {
        let request = client
            .post(format!("{url}/v1/traces"))
            .header("content-type", "application/x-protobuf");
        request.body(beats([1]).encode_to_vec()).send().await
    });
    while upstream.posts().is_empty() {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    assert!(!served.stop().await);
    assert!(began.elapsed() < Duration::from_secs(4));
}
