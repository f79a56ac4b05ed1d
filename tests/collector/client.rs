//! Sends to a collector: engines of this library, and requests made by hand. It also reads what arrived
//! behind the collector.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use opentelemetry::{Array, KeyValue, StringValue, Value};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use otel_usage::{Contract, Flush, Usage, UsageRecord};
use otel_usage_testing::receiver::{Receiver, Request};
use otel_usage_testing::{Collected, Operator, PATIENCE, otlp};
use prost::Message as _;

/// Returns an engine that sends OTLP to `collector`. `seen` gets the same records.
pub(crate) fn engine(contract: &Contract, collector: SocketAddr, seen: &Collected) -> Usage {
    Operator::new()
        .with("OTEL_USAGE_EXPORTERS", "otlp")
        .with("OTEL_USAGE_OTLP_ENDPOINT", format!("http://{collector}"))
        .engine(contract)
        .with_version("1.2.3")
        .with_exporter(seen.clone())
        .try_init()
        .unwrap()
}

/// Runs an engine from start to end. When it returns, the collector has acknowledged every record.
pub(crate) fn run(
    contract: &Contract,
    collector: SocketAddr,
    record: impl UsageRecord,
) -> Collected {
    let seen = Collected::default();
    let usage = engine(contract, collector, &seen);
    usage.record(record);
    assert_eq!(usage.flush(PATIENCE), Flush::Settled);
    usage.finish();
    assert_eq!(usage.flush(PATIENCE), Flush::Settled);
    seen
}

/// Records by their identity, each with the attributes of its Resource and span.
pub(crate) type Records = BTreeMap<String, BTreeSet<String>>;

pub(crate) fn record(resource: &Resource, span: &SpanData) -> (String, BTreeSet<String>) {
    let mut attributes: BTreeSet<String> =
        resource.iter().map(|(key, value)| format!("resource {key}={}", shown(value))).collect();
    attributes.extend(
        span.attributes
            .iter()
            .map(|KeyValue { key, value, .. }| format!("span {key}={}", shown(value))),
    );
    (span.span_context.span_id().to_string(), attributes)
}

/// Returns a value with its type, in a form that does not depend on how its text is owned.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{:?}", text.as_str()),
        Value::Array(Array::String(list)) => {
            format!("{:?}", list.iter().map(StringValue::as_str).collect::<Vec<_>>())
        }
        other => format!("{other:?}"),
    }
}

/// Returns the records that an engine handed to its exporters.
pub(crate) fn sent(seen: &Collected) -> Records {
    seen.records().iter().map(|sent| record(&sent.resource(), &sent.span())).collect()
}

/// Returns the records that have arrived, once there are `count`.
pub(crate) fn arrived(receiver: &Receiver, count: usize) -> Records {
    let mut records = Records::new();
    while records.len() < count {
        let request = receiver.next();
        assert_eq!(request.path, "/v1/traces");
        let spans = otlp::decode(&body(&request));
        records.extend(spans.iter().map(|(resource, span)| record(resource, span)));
    }
    records
}

/// Returns the decompressed body of a request.
pub(crate) fn body(request: &Request) -> Vec<u8> {
    match request.header("content-encoding") {
        Some("gzip") => {
            let mut bytes = Vec::new();
            flate2::read::GzDecoder::new(request.body.as_slice()).read_to_end(&mut bytes).unwrap();
            bytes
        }
        None => request.body.clone(),
        Some(other) => panic!("unexpected encoding {other}"),
    }
}

/// Posts OTLP protobuf and returns the status of the answer, or `None` without an answer.
pub(crate) fn post_spans(to: SocketAddr, request: &ExportTraceServiceRequest) -> Option<u16> {
    post(to, "/v1/traces", "application/x-protobuf", &request.encode_to_vec())
}

pub(crate) fn post(to: SocketAddr, path: &str, content_type: &str, body: &[u8]) -> Option<u16> {
    let mut head = format!("POST {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n");
    head += &format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n", body.len());
    exchange(to, &[head.as_bytes(), body].concat())
}

pub(crate) fn get(from: SocketAddr, path: &str) -> Option<u16> {
    exchange(
        from,
        format!("GET {path} HTTP/1.1\r\nHost: {from}\r\nConnection: close\r\n\r\n").as_bytes(),
    )
}

fn exchange(with: SocketAddr, request: &[u8]) -> Option<u16> {
    let mut stream = TcpStream::connect(with).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(120))).ok()?;
    stream.write_all(request).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}
