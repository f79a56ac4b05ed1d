//! Checks that silent, slow and greedy senders do not shut others out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use otel_usage_testing::PATIENCE;
use otel_usage_testing::served::{Served, beat, beats, to};
use otel_usage_testing::upstream::{Reply, Upstream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// Connects from another address of the loopback.
async fn connect(served: &Served, from: [u8; 4]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    socket.connect(served.address().parse().unwrap()).await.unwrap()
}

/// Returns everything that the bridge sends until it closes the connection.
async fn until_closed(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let reading = stream.read_to_end(&mut said);
    // A connection that is ended early may be reset.
    let _ = tokio::time::timeout(PATIENCE, reading).await.unwrap();
    String::from_utf8_lossy(&said).into_owned()
}

/// The preface of HTTP/2 with empty settings: a connection without a stream.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_connection_ends_in_both_protocols() {
    let upstream = Upstream::new().await;
    let mut config = to(&upstream);
    config.limits.read = Duration::from_millis(300);
    let served = Served::start(&config).await;
    for said in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n", HTTP2, b"POST / HTTP/1.1\r\n"] {
        let mut stream = TcpStream::connect(served.address()).await.unwrap();
        stream.write_all(said).await.unwrap();
        until_closed(&mut stream).await;
    }
    // Also after an answer.
    let mut stream = TcpStream::connect(served.address()).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let said = until_closed(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_connections_make_room_for_new_ones() {
    let upstream = Upstream::new().await;
    let mut config = to(&upstream);
    // Nothing ends by its time here.
    config.limits.read = 10 * PATIENCE;
    config.limits.connections = 8;
    let served = Served::start(&config).await;
    let body = b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    let mut quiet = Vec::new();
    for said in [&b""[..], body, HTTP2, b"POST / HT"] {
        for _ in 0..8 {
            let mut stream = TcpStream::connect(served.address()).await.unwrap();
            stream.write_all(said).await.unwrap();
            quiet.push(stream);
        }
        let request = beats([1]);
        let sending = served.send(&request);
        assert_eq!(tokio::time::timeout(PATIENCE, sending).await.unwrap().status(), 200);
        let health = served.client.get(format!("{}/healthz", served.url)).send();
        assert_eq!(tokio::time::timeout(PATIENCE, health).await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(upstream.bodies(), [beat(1)]);
}

/// A probe that keeps its connection asks again, and a connection that was closed meanwhile would be reset.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_asked_for_the_health_stays_before_silent_ones() {
    let upstream = Upstream::new().await;
    let mut config = to(&upstream);
    config.limits.read = 10 * PATIENCE;
    config.limits.connections = 4;
    let served = Served::start(&config).await;
    let mut probe = TcpStream::connect(served.address()).await.unwrap();
    let mut quiet = Vec::new();
    for _ in 0..3 {
        probe.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut said = Vec::new();
        while !said.ends_with(b"ok\n") {
            assert!(probe.read_buf(&mut said).await.unwrap() > 0, "the connection was closed");
        }
        // The last of them waits until a place is free.
        for _ in 0..5 {
            quiet.push(TcpStream::connect(served.address()).await.unwrap());
        }
        until_closed(quiet.first_mut().unwrap()).await;
        quiet.remove(0);
    }
}

/// A connection that was asked to end, and does not, is the first to go.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_does_not_end_when_asked_makes_room_too() {
    let upstream = Upstream::new().await;
    let mut config = to(&upstream);
    // An HTTP/2 sender that answers nothing could stay for five seconds after it was asked.
    config.limits.read = Duration::from_secs(5);
    config.limits.deliver = 10 * PATIENCE;
    config.limits.connections = 4;
    let served = Served::start(&config).await;
    let mut deaf = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(served.address()).await.unwrap();
        stream.write_all(HTTP2).await.unwrap();
        deaf.push(stream);
    }
    for stream in &mut deaf {
        // The settings of the bridge have an answer, and its last frame is GOAWAY.
        let mut said = Vec::new();
        while !said.windows(4).any(|frame| frame == [0, 0, 8, 7]) {
            assert!(stream.read_buf(&mut said).await.unwrap() > 0);
        }
    }
    // Counts time in which this process gets turns.
    let turns = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&turns);
    let counting = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let mut quiet = Vec::new();
    for _ in 0..4 {
        quiet.push(TcpStream::connect(served.address()).await.unwrap());
        let health = served.client.get(format!("{}/healthz", served.url)).send();
        assert_eq!(health.await.unwrap().text().await.unwrap(), "ok\n");
    }
    counting.abort();
    assert!(turns.load(Ordering::Relaxed) < 400, "{turns:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_takes_its_place_when_its_body_is_there() {
    let upstream = Upstream::new().await;
    let mut config = to(&upstream);
    config.limits.requests = 1;
    let served = Served::start(&config).await;
    let mut slow = Vec::new();
    for path in ["/v1/traces", "/v1/logs"] {
        let mut stream = TcpStream::connect(served.address()).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{{"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    assert_eq!(served.send(&beats([1])).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sender_leaves_places_to_others() {
    let upstream = Upstream::scripted(|_, _| Reply::Held).await;
    let mut config = to(&upstream);
    config.limits.requests = 4;
    // No POST ends by its time here.
    config.limits.post = 10 * PATIENCE;
    config.limits.deliver = 10 * PATIENCE;
    let served = Served::start(&config).await;
    let json = |n| serde_json::to_string(&beats([n])).unwrap();
    let post = |n| {
        let body = json(n);
        format!(
            "POST /v1/traces HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let mut greedy = Vec::new();
    for n in 0..6 {
        let mut stream = connect(&served, [127, 0, 0, 1]).await;
        stream.write_all(post(n).as_bytes()).await.unwrap();
        greedy.push(stream);
        if n < 3 {
            upstream.until(usize::try_from(n).unwrap() + 1).await;
        } else {
            // Three of four places are its share.
            let said = until_closed(greedy.last_mut().unwrap()).await;
            assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
        }
    }
    let mut other = connect(&served, [127, 0, 0, 2]).await;
    other.write_all(post(9).as_bytes()).await.unwrap();
    upstream.until(4).await;
    upstream.release();
    let said = until_closed(&mut other).await;
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
}
