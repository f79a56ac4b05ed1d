//! Sends random OTLP as two independent writers of JSON print it, and compares what arrives with the same
//! requests in protobuf: the file exporter of the collector, and protobuf's own library for Python.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use otel_usage_testing::PATIENCE;
use otel_usage_testing::python::Originals;
use otel_usage_testing::served::{Served, to};
use otel_usage_testing::upstream::Upstream;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use prost::Message as _;

use crate::closed_world::any_request;

/// Number of requests.
const REQUESTS: usize = 200;

fn requests() -> Vec<ExportTraceServiceRequest> {
    let mut runner = TestRunner::deterministic();
    (0..REQUESTS)
        .map(|n| {
            let mut request = any_request().new_tree(&mut runner).unwrap().current();
            // A collector refuses ids of another length.
            let span = &mut request.resource_spans[0].scope_spans[0].spans[0];
            span.trace_id = vec![1 + u8::try_from(n).unwrap(); 16];
            span.span_id = vec![1 + u8::try_from(n).unwrap(); 8];
            request
        })
        .collect()
}

/// Returns what arrives of these bodies, sorted.
async fn arrive(media_type: &str, bodies: impl IntoIterator<Item = Vec<u8>>) -> Vec<String> {
    let upstream = Upstream::new().await;
    let served = Served::start(&to(&upstream)).await;
    for body in bodies {
        let answer = served.post("/v1/traces", media_type, None, body.clone()).await;
        assert_eq!(answer.status(), 200, "{}", String::from_utf8_lossy(&body));
    }
    let mut bodies = upstream.bodies();
    bodies.sort();
    bodies
}

async fn compare(requests: &[ExportTraceServiceRequest], lines: &str) {
    assert_eq!(lines.lines().count(), requests.len());
    let protobuf = requests.iter().map(ExportTraceServiceRequest::encode_to_vec);
    let expected = arrive("application/x-protobuf", protobuf).await;
    assert_eq!(expected.len(), requests.len());
    let json = lines.lines().map(|line| line.as_bytes().to_vec());
    assert_eq!(arrive("application/json", json).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_json_of_protobufs_own_library_is_read_like_protobuf() {
    let python = match Originals::packages() {
        Ok(python) => python,
        Err(reason) => return otel_usage_testing::skipped(&reason),
    };
    let requests = requests();
    let mut writer = python.script("otlp_json.py");
    let writer = writer.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut writer = writer.spawn().unwrap();
    let mut input = writer.stdin.take().unwrap();
    let hex: String = requests
        .iter()
        .map(|request| {
            let bytes = request.encode_to_vec();
            bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .chain(["\n".to_owned()])
                .collect::<String>()
        })
        .collect();
    let feeding = std::thread::spawn(move || input.write_all(hex.as_bytes()));
    let output = writer.wait_with_output().unwrap();
    feeding.join().unwrap().unwrap();
    assert!(output.status.success());
    compare(&requests, &String::from_utf8(output.stdout).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_json_of_a_collector_is_read_like_protobuf() {
    let Some(binary) = collector() else {
        return otel_usage_testing::skipped("no collector: `cargo xtask collector` builds one");
    };
    let folder = tempfile::tempdir().unwrap();
    let (file, running) =
        (folder.path().join("traces.jsonl"), Running::start(&binary, folder.path()));
    let requests = requests();
    for request in &requests {
        let post =
            running.client.post(&running.url).header("content-type", "application/x-protobuf");
        let answer = post.body(request.encode_to_vec()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    let began = Instant::now();
    let lines = loop {
        let lines = std::fs::read_to_string(&file).unwrap_or_default();
        if lines.ends_with('\n') && lines.lines().count() == REQUESTS {
            break lines;
        }
        assert!(began.elapsed() < PATIENCE, "the collector writes nothing more");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    compare(&requests, &lines).await;
}

fn collector() -> Option<PathBuf> {
    let built =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/collector/build/otelcol-usage");
    std::env::var_os("OTELCOL").map(PathBuf::from).or_else(|| built.is_file().then_some(built))
}

/// A collector that writes what it receives to a file.
struct Running {
    child: Child,
    url: String,
    client: reqwest::Client,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(binary: &Path, folder: &Path) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = format!(
            "receivers: {{otlp: {{protocols: {{http: {{endpoint: '{address}'}}}}}}}}\n\
             exporters: {{file: {{path: '{}', flush_interval: 10ms}}}}\n\
             service:\n  telemetry: {{metrics: {{level: none}}, logs: {{level: error}}}}\n  \
             pipelines: {{traces: {{receivers: [otlp], exporters: [file]}}}}\n",
            folder.join("traces.jsonl").display()
        );
        let path = folder.join("collector.yaml");
        std::fs::write(&path, config).unwrap();
        let child = Command::new(binary).arg("--config").arg(&path).spawn().unwrap();
        let url = format!("http://{address}/v1/traces");
        let began = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            assert!(began.elapsed() < 6 * PATIENCE, "the collector does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, url, client: reqwest::Client::new() }
    }
}
