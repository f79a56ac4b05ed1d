//! Measures what one request can make a bridge's process take: memory, and file descriptors.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::bridge::{Bridge, command};

/// The limit on a decompressed request. Unit: bytes.
pub(crate) const DECODED: usize = 8 << 20;

/// The limit on all requests together. Unit: bytes.
pub(crate) const MEMORY: usize = 24 << 20;

const PROTOBUF: &str = "application/x-protobuf";
pub(crate) const JSON: &str = "application/json";

/// Limits as arguments of a usage server: on a request, and on all requests together.
pub(crate) fn limits(decoded: usize, memory: usize) -> [String; 4] {
    ["--max-body".to_owned(), decoded.to_string(), "--max-memory".to_owned(), memory.to_string()]
}

fn start(folder: &std::path::Path) -> Bridge {
    let (decoded, memory) = (DECODED.to_string(), MEMORY.to_string());
    Bridge::start(command(env!("CARGO_BIN_EXE_otel-usage")).args([
        "bridge",
        "--exporter",
        "file",
        "--file",
        folder.join("flat.jsonl").to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
        "--max-decoded",
        &decoded,
        "--max-memory",
        &memory,
    ]))
}

/// Returns a field of protobuf with these bytes.
fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![tag << 3 | 2];
    let mut length = bytes.len();
    while length > 127 {
        out.push(u8::try_from(length & 127).unwrap() | 128);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap());
    out.extend_from_slice(bytes);
    out
}

/// Returns a request with spans of our scope.
fn spans(spans: &[u8]) -> Vec<u8> {
    let scope = field(1, &field(1, b"otel_usage"));
    field(1, &field(2, &[scope, spans.to_vec()].concat()))
}

/// Returns a text attribute.
fn attribute(key: &str, value: &[u8]) -> Vec<u8> {
    let value = field(2, &field(1, value));
    field(9, &[field(1, key.as_bytes()), value].concat())
}

pub(crate) fn repeated(bytes: &[u8]) -> Vec<u8> {
    bytes.repeat(DECODED.saturating_sub(200).checked_div(bytes.len()).unwrap())
}

/// Requests that are small on the wire and that become large structures if they are built.
pub(crate) fn bombs() -> Vec<(&'static str, &'static str, &'static str, Vec<u8>)> {
    let logs = |body: &str| {
        let body = serde_json::to_string(body).unwrap();
        format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{{"stringValue":{body}}}}}]}}]}}]}}"#)
            .into_bytes()
    };
    let named = attribute("otel_usage.contract", b"vllm/current");
    let beat = field(2, &[field(5, b"vllm.heartbeat"), named.clone()].concat());
    let list = |of: &str| {
        let many = of.repeat(DECODED.saturating_sub(300).checked_div(of.len()).unwrap());
        let many = many.trim_end_matches(',');
        format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"scope":{{"name":"otel_usage"}},"spans":[{{"attributes":[{{"key":"a","value":{many}}}]}}]}}]}}]}}"#)
            .into_bytes()
    };
    vec![
        ("empty groups", "/v1/traces", PROTOBUF, repeated(b"\x0a\x00")),
        ("empty scopes", "/v1/traces", PROTOBUF, field(1, &repeated(b"\x12\x00"))),
        (
            "empty foreign spans",
            "/v1/traces",
            PROTOBUF,
            field(1, &field(2, &repeated(b"\x12\x00"))),
        ),
        ("empty spans", "/v1/traces", PROTOBUF, spans(&repeated(b"\x12\x00"))),
        ("small records", "/v1/traces", PROTOBUF, spans(&repeated(&beat))),
        (
            "attributes",
            "/v1/traces",
            PROTOBUF,
            spans(&field(2, &[named.clone(), repeated(b"\x4a\x00")].concat())),
        ),
        (
            "one key",
            "/v1/traces",
            PROTOBUF,
            spans(&field(2, &[named.clone(), repeated(&attribute("a", b""))].concat())),
        ),
        (
            "a list",
            "/v1/traces",
            PROTOBUF,
            spans(&field(
                2,
                &[
                    named,
                    field(
                        9,
                        &[field(1, b"a"), field(2, &field(5, &repeated(b"\x0a\x00")))].concat(),
                    ),
                ]
                .concat(),
            )),
        ),
        ("logs", "/v1/logs", PROTOBUF, field(1, &field(2, &repeated(b"\x12\x00")))),
        (
            "groups of JSON",
            "/v1/traces",
            JSON,
            [b"{\"resourceSpans\":[{}".to_vec(), repeated(b",{}"), b"]}".to_vec()].concat(),
        ),
        (
            "keys of JSON",
            "/v1/traces",
            JSON,
            [b"{\"\":0".to_vec(), repeated(b",\"\":0"), b"}".to_vec()].concat(),
        ),
        ("lists in lists", "/v1/traces", JSON, list("[],")),
        (
            "flat lists",
            "/v1/logs",
            JSON,
            logs(&format!("{{\"uuid\": [0{}]}}", ",0".repeat(DECODED / 2 - 300))),
        ),
        (
            "flat keys",
            "/v1/logs",
            JSON,
            logs(&format!(
                "{{{}\"b\":0}}",
                "a:0,".replace('a', "'a'").repeat(DECODED / 8).replace('\'', "\"")
            )),
        ),
    ]
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Returns so many spaces, compressed.
pub(crate) fn gzip_of_spaces(bytes: u64) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    std::io::copy(&mut std::io::repeat(b' ').take(bytes), &mut encoder).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn post(address: &str, path: &str, media_type: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: bridge\r\ncontent-type: {media_type}\r\ncontent-encoding: gzip\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap_or_default();
    answer.lines().next().unwrap_or_default().to_owned()
}

/// Returns `VmRSS` or `VmHWM`. Unit: bytes.
fn resident(process: u32, name: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap().saturating_mul(1024)
}

/// Returns by how much the memory grows at most while `work` runs.
pub(crate) fn growth(process: u32, work: impl FnOnce()) -> usize {
    // Resets the peak.
    fs::write(format!("/proc/{process}/clear_refs"), "5").unwrap();
    let before = resident(process, "VmRSS");
    work();
    resident(process, "VmHWM").saturating_sub(before)
}

#[test]
fn no_request_takes_more_than_four_times_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    for (name, path, media_type, body) in bombs() {
        // Memory that an earlier request has left to the process would hide growth.
        let bridge = start(folder.path());
        let body = gzip(&body);
        // The first request brings code into memory.
        for (path, media_type) in [("/v1/traces", PROTOBUF), ("/v1/logs", JSON)] {
            post(&bridge.address, path, media_type, &gzip(b"{}"));
        }
        let grown = growth(bridge.child.id(), || {
            let answer = post(&bridge.address, path, media_type, &body);
            let expected =
                ["HTTP/1.1 200 OK", "HTTP/1.1 413 Payload Too Large", "HTTP/1.1 400 Bad Request"];
            assert!(expected.contains(&answer.as_str()), "{name}: {answer}");
        });
        assert!(grown <= 4 * DECODED, "{name}: {} KiB", grown / 1024);
    }
}

#[test]
fn all_requests_together_keep_to_the_limit_on_memory() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = start(folder.path());
    let bombs: Vec<_> =
        bombs().into_iter().map(|(_, path, form, body)| (path, form, gzip(&body))).collect();
    let grown = growth(bridge.child.id(), || {
        thread::scope(|scope| {
            for (path, media_type, body) in bombs.iter().cycle().take(2 * bombs.len()) {
                scope.spawn(|| post(&bridge.address, path, media_type, body));
            }
        });
    });
    // A buffer that grows has room for twice its bytes, and each thread keeps some memory for its next request.
    assert!(grown <= 2 * MEMORY + (16 << 20), "{} KiB", grown / 1024);
}

#[test]
fn the_number_of_connections_fits_the_limit_on_files() {
    let binary = env!("CARGO_BIN_EXE_otel-usage");
    let line =
        format!("ulimit -n 160; exec {binary} bridge --exporter console --listen 127.0.0.1:0");
    let bridge = Bridge::start(command("/bin/sh").args(["-c", &line]));
    let silent: Vec<TcpStream> =
        (0..200).filter_map(|_| TcpStream::connect(&bridge.address).ok()).collect();
    assert!(silent.len() > 100);
    let body = gzip(b"{}");
    assert_eq!(post(&bridge.address, "/v1/traces", JSON, &body), "HTTP/1.1 200 OK");
    let open = fs::read_dir(format!("/proc/{}/fd", bridge.child.id())).unwrap().count();
    assert!(open < 60, "{open}");
}

#[test]
fn a_sender_cannot_fill_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut command = command(env!("CARGO_BIN_EXE_otel-usage"));
    command.args(["bridge", "--exporter", "console", "--listen", "127.0.0.1:0"]);
    command.stdout(std::process::Stdio::null()).stderr(fs::File::create(&log).unwrap());
    let mut child = command.spawn().unwrap();
    let said = || fs::read_to_string(&log).unwrap();
    let address = loop {
        if let Some((_, rest)) = said().split_once("listening on ")
            && let Some((address, _)) = rest.split_once('\n')
        {
            break address.to_owned();
        }
        thread::yield_now();
    };
    // Streams of HTTP/2 that are reset at once. The library below warns of each connection with many.
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags][..], &stream.to_be_bytes(), payload].concat()
    };
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    for n in 0..200_u32 {
        let stream = n.saturating_mul(2).saturating_add(1);
        // `POST`, `http`, `/`, and no end of the stream.
        bytes.extend(frame(1, 4, stream, &[0x83, 0x86, 0x84]));
        bytes.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
    }
    for _ in 0..20 {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(&bytes).unwrap();
        // The bridge closes the connection.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let said = said();
    assert!(said.lines().count() < 5, "{said}");
}
