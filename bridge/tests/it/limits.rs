//! Checks the limits that protect the bridge and its senders from each other.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use otel_usage_bridge::{Received, Refusal, Store};
use otel_usage_testing::PATIENCE;
use otel_usage_testing::served::{Served, beat, beats, gzip, to, to_url, zstd};
use otel_usage_testing::upstream::{Reply, Upstream};
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tonic::codec::CompressionEncoding;

#[tokio::test(flavor = "multi_thread")]
async fn oversized_bodies_are_refused_before_and_after_decompression() {
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
    // The same over gRPC, with a request that is small on the wire and large after decompression.
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

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_pieces_is_read_and_one_of_too_many_pieces_is_not() {
    let upstream = Upstream::new().await;
    let served = Served::start(&to(&upstream)).await;
    let body = beats([1]).encode_to_vec();
    let (left, right) = body.split_at(body.len() / 2);
    let pieces = [gzip(left), gzip(right)].concat();
    let answer = served.post("/v1/traces", "application/x-protobuf", Some("gzip"), pieces).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(upstream.bodies(), [beat(1)]);
    let many = gzip(b"").repeat(1000);
    let answer = served.post("/v1/traces", "application/x-protobuf", Some("gzip"), many).await;
    assert_eq!(answer.status(), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_promises_too_much_is_refused_at_once() {
    let upstream = Upstream::new().await;
    let served = Served::start(&to(&upstream)).await;
    let mut stream = TcpStream::connect(served.address()).await.unwrap();
    let head = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 99999999999\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut said = vec![0; 12];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut said)).await.unwrap().unwrap();
    assert_eq!(said, b"HTTP/1.1 413");
}

/// Sends a heartbeat and does not wait for the answer.
fn begin(served: &Served) -> JoinHandle<u16> {
    let request = served.client.post(format!("{}/v1/traces", served.url));
    let request = request.header("content-type", "application/x-protobuf");
    let answer = request.body(beats([1]).encode_to_vec()).send();
    tokio::spawn(async move { answer.await.unwrap().status().as_u16() })
}

/// Returns everything that the bridge sends until it closes the connection.
async fn until_closed(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await.unwrap().unwrap();
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_sender_is_disconnected_and_delays_no_other() {
    let upstream = Upstream::new().await;
    let mut config = to(&upstream);
    // A bridge with more patience tells the limit of this one from a longer limit of the library below, which is 30 s.
    config.limits.read = Duration::from_secs(20);
    let patient = Served::start(&config).await;
    let mut waiting = TcpStream::connect(patient.address()).await.unwrap();
    waiting.write_all(b"POST /v1/traces HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    config.limits.read = Duration::from_millis(300);
    config.limits.connections = 2;
    let served = Served::start(&config).await;
    // One sender sends nothing and one stops in its head, so both places are taken.
    let _silent = TcpStream::connect(served.address()).await.unwrap();
    let mut head = TcpStream::connect(served.address()).await.unwrap();
    head.write_all(b"POST /v1/traces HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    until_closed(&mut head).await;
    let still = waiting.try_read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(still, Err(std::io::ErrorKind::WouldBlock), "another limit closed it");
    // The next one stops in its body and is asked to repeat the request.
    let mut body = TcpStream::connect(served.address()).await.unwrap();
    body.write_all(b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{")
        .await
        .unwrap();
    let said = until_closed(&mut body).await;
    // The limit on its body, and not the one on the whole request.
    assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("came too slowly"), "{said}");
    // On a machine that stands still, this one is too slow as well and is asked to repeat its request.
    let delivered = async { while served.send(&beats([1])).await.status() == 503 {} };
    tokio::time::timeout(PATIENCE, delivered).await.unwrap();
    assert_eq!(upstream.bodies(), [beat(1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beyond_the_limit_are_asked_to_retry() {
    let upstream = Upstream::scripted(|_, _| Reply::Held).await;
    let mut config = to(&upstream);
    config.limits.requests = 1;
    let served = Served::start(&config).await;
    let first = begin(&served);
    upstream.until(1).await;
    let answer = served.send(&beats([2])).await;
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()),
        (503, "5")
    );
    assert!(!first.is_finished(), "the second waited for the first");
    // Health and metrics need no place.
    assert_eq!(
        served.client.get(format!("{}/healthz", served.url)).send().await.unwrap().status(),
        200
    );
    assert_eq!(served.count("requests_in_flight").await, 1.0);
    upstream.release();
    assert_eq!(first.await.unwrap(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_too_long_is_answered_in_time() {
    // Two POSTs are answered at once, the others not before the deadline of the whole request.
    let upstream =
        Upstream::scripted(|n, _| if n < 2 { Reply::Status(200) } else { Reply::Held }).await;
    let mut config = to(&upstream);
    config.limits.posts = 1;
    config.limits.post = 10 * PATIENCE;
    config.limits.deliver = Duration::from_millis(450);
    let served = Served::start(&config).await;
    let request = beats(0..100);
    let answer = tokio::time::timeout(PATIENCE, served.send(&request)).await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(upstream.posts().len() <= 3);
}

/// A store that says after a while that a message is safe.
#[derive(Debug)]
struct Slow {
    asked: AtomicUsize,
    safe: Arc<Semaphore>,
}

impl Store for Slow {
    fn keep(&self, _: IpAddr, _: Vec<Received>) -> BoxFuture<'static, Result<(), Refusal>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let safe = Arc::clone(&self.safe);
        Box::pin(async move {
            safe.acquire().await.unwrap().forget();
            Ok(())
        })
    }

    fn note(&self, _: &'static str, _: usize) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_kept_once_although_its_sender_waits_for_too_long_and_repeats_it() {
    let store = Arc::new(Slow { asked: AtomicUsize::new(0), safe: Arc::new(Semaphore::new(0)) });
    let mut config = to_url("http://127.0.0.1:9");
    config.exporters.server = false;
    config.exporters.store = Some(Arc::clone(&store) as Arc<dyn Store>);
    config.limits.read = Duration::from_secs(1);
    config.limits.deliver = Duration::from_millis(100);
    let served = Served::start(&config).await;
    for _ in 0..2 {
        assert_eq!(served.send(&beats([1])).await.status(), 503);
        assert_eq!(store.asked.load(Ordering::SeqCst), 1);
    }
    store.safe.add_permits(1);
    let kept = async { while served.send(&beats([1])).await.status() != 200 {} };
    tokio::time::timeout(PATIENCE, kept).await.expect("it is known to be safe");
    assert_eq!(store.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_stops_finishes_its_work_and_takes_nothing_new() {
    let upstream = Upstream::scripted(|_, _| Reply::Held).await;
    let served = Served::start(&to(&upstream)).await;
    let at_work = begin(&served);
    upstream.until(1).await;
    let address = served.address().to_owned();
    let stopping = served.ask_to_stop();
    let refused = async {
        while TcpStream::connect(&address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.expect("it takes no more connections");
    upstream.release();
    assert_eq!(at_work.await.unwrap(), 200);
    assert!(stopping.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_stops_leaves_unfinished_work_after_the_deadline() {
    let upstream = Upstream::scripted(|_, _| Reply::Held).await;
    let mut config = to(&upstream);
    config.limits.post = 10 * PATIENCE;
    config.limits.deliver = 10 * PATIENCE;
    config.limits.drain = Duration::from_millis(200);
    let served = Served::start(&config).await;
    let _at_work = begin(&served);
    upstream.until(1).await;
    assert!(!tokio::time::timeout(PATIENCE, served.stop()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_continue_for_ever_holds_nobody_past_the_timeout() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (ended, mut end) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let ended = ended.clone();
            tokio::spawn(async move {
                while stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_ok() {}
                let _ = ended.send(());
            });
        }
    });
    let mut config = to_url(&url);
    config.limits.post = Duration::from_millis(200);
    let served = Served::start(&config).await;
    // More of them than threads.
    let request = beats(0..8);
    let sending = served.send(&request);
    assert_eq!(tokio::time::timeout(PATIENCE, sending).await.unwrap().status(), 503);
    // The connections are gone too.
    tokio::time::timeout(PATIENCE, end.recv()).await.unwrap().unwrap();
}
