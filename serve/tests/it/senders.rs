//! Senders that are slow, or that send what is small on the wire and large in the memory.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::running::{NOW, Place, Running, rows, settings};

const BEAT: &str = r#"{"uuid": "00000000-0000-4000-8000-000000000001", "log_time": 0}"#;

/// How long a test waits for what must happen, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_bombs_are_refused_and_an_engine_is_heard_all_the_same() {
    let place = Place::new();
    let mut settings = settings(&place.data());
    (settings.limits.body_bytes, settings.limits.decoded_bytes) = (100_000, 1_000_000);
    let server = Running::start(settings).await;
    let bomb = vec![b' '; 50_000_000];
    let bombs = [
        (None, vec![b' '; 200_000]),
        (Some("gzip"), gzip(&bomb)),
        (Some("zstd"), zstd::encode_all(bomb.as_slice(), 3).unwrap()),
    ];
    for path in ["/", "/context", "/v1/traces"] {
        for (encoding, body) in &bombs {
            assert!(encoding.is_none() || body.len() < 100_000, "the bomb itself is too large");
            let request = server.client.post(format!("{}{path}", server.url));
            let mut request = request.header("content-type", "application/json").body(body.clone());
            if let Some(encoding) = encoding {
                request = request.header("content-encoding", *encoding);
            }
            assert_eq!(request.send().await.unwrap().status(), 413, "{path} {encoding:?}");
        }
    }
    assert_eq!(server.post("/", BEAT).await, 200);
    server
        .store
        .maintain(
            otel_usage_serve::store::Days::default(),
            otel_usage_serve::questions::Rules::default(),
        )
        .await;
    server.stop().await;
    assert_eq!(rows(&place.read(), "SELECT sum(messages) FROM batch"), ["1"]);
    let day = NOW / 86_400_000;
    let refused = rows(
        &place.read(),
        "SELECT day, sum(count) FROM quality WHERE name = 'refused' GROUP BY day",
    );
    assert_eq!(refused, [format!("{day}|9")]);
}

/// Returns everything that the server sends until it closes the connection.
async fn until_closed(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await.unwrap().unwrap();
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_engines_are_disconnected_and_delay_no_other() {
    // A server with more patience tells the limit of this one from a longer limit of the library below, which is 30 s.
    let (place, elsewhere) = (Place::new(), Place::new());
    let mut patient = settings(&elsewhere.data());
    patient.limits.read = Duration::from_secs(20);
    let patient = Running::start(patient).await;
    let mut waiting = TcpStream::connect(patient.url.trim_start_matches("http://")).await.unwrap();
    waiting.write_all(b"POST / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let mut settings = settings(&place.data());
    settings.limits.read = Duration::from_millis(300);
    settings.limits.connections = 2;
    let server = Running::start(settings).await;
    let connect = || TcpStream::connect(server.url.trim_start_matches("http://"));
    // One sends nothing and one stops in its head, so both places are taken.
    let _silent = connect().await.unwrap();
    let mut head = connect().await.unwrap();
    head.write_all(b"POST / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    until_closed(&mut head).await;
    let still = waiting.try_read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(still, Err(std::io::ErrorKind::WouldBlock), "another limit closed it");
    // The next one stops in its body and is asked to repeat it.
    let mut body = connect().await.unwrap();
    let begun = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{{", BEAT.len());
    body.write_all(begun.as_bytes()).await.unwrap();
    let said = until_closed(&mut body).await;
    // The limit on its body, and not the one on the whole message.
    assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("came too slowly"), "{said}");
    // On a machine that stands still, this one is too slow as well and is asked to repeat its message.
    let kept = async { while server.post("/", BEAT).await == 503 {} };
    tokio::time::timeout(PATIENCE, kept).await.unwrap();
    server.stop().await;
    assert_eq!(rows(&place.read(), "SELECT sum(messages) FROM batch"), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_to_maintainers_take_no_more_places_than_there_are() {
    let place = Place::new();
    let mut settings = settings(&place.data());
    // Only the number ends them.
    settings.limits.read = Duration::from_secs(3600);
    settings.limits.connections = 4;
    let server = Running::start(settings).await;
    let mut idle = Vec::new();
    for _ in 0..12 {
        let stream = TcpStream::connect(server.maintainers.trim_start_matches("http://")).await;
        idle.push(stream.unwrap());
    }
    for stream in idle.iter_mut().take(8) {
        assert_eq!(until_closed(stream).await, "");
    }
    // The places are those of the public listener too.
    assert_eq!(server.post("/", BEAT).await, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn maintainers_wait_for_a_long_answer_and_the_server_waits_for_no_slow_one() {
    let place = Place::new();
    let mut settings = settings(&place.data());
    settings.limits.read = Duration::from_millis(300);
    settings.limits.deliver = Duration::from_millis(300);
    let server = Running::start(settings).await;
    let address = server.maintainers.trim_start_matches("http://");
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut head = TcpStream::connect(address).await.unwrap();
    head.write_all(b"GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\n").await.unwrap();
    let mut body = TcpStream::connect(address).await.unwrap();
    let begun = b"POST /forget HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 36\r\n\r\n0";
    body.write_all(begun).await.unwrap();
    for stream in [&mut silent, &mut head, &mut body] {
        until_closed(stream).await;
    }
    // A deletion waits for seconds for those who read.
    assert_eq!(server.post("/", BEAT).await, 200);
    let reader = place.read();
    reader.execute_batch("BEGIN; SELECT count(*) FROM session").unwrap();
    let mut deletion = TcpStream::connect(address).await.unwrap();
    let asked = "POST /forget HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 36\r\n\r\n00000000-0000-4000-8000-000000000001";
    deletion.write_all(asked.as_bytes()).await.unwrap();
    let said = until_closed(&mut deletion).await;
    assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("the log beside"), "{said}");
    drop(reader);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sender_of_a_long_message_is_told_how_long_it_may_be() {
    for (most, limit) in [(1_048_576, None), (100_000, Some(100_000))] {
        let place = Place::new();
        let mut settings = settings(&place.data());
        if let Some(limit) = limit {
            (settings.limits.body_bytes, settings.limits.decoded_bytes) = (limit, limit);
        }
        let server = Running::start(settings).await;
        for (path, told) in [
            ("/", Some(format!("one message may have {most} bytes at most"))),
            (
                "/v1/logs",
                limit.map(|most| {
                    format!("one request may have {most} bytes at most; send smaller batches")
                }),
            ),
        ] {
            let Some(told) = told else { continue };
            let request = server.client.post(format!("{}{path}", server.url));
            let request = request.header("content-type", "application/json");
            let answer = request.body(" ".repeat(most + 1)).send().await.unwrap();
            assert_eq!(answer.status(), 413);
            let said = answer.text().await.unwrap();
            assert!(said.contains(&told), "{path}: {said}");
        }
        server.stop().await;
    }
}
