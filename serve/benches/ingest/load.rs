//! Clients that post as engines do, on connections that stay open.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::process::Process;

/// Engines that report. Each is heard of again and again.
const ENGINES: u64 = 100_000;
/// Records of one request of OTLP.
const BATCH: u64 = 100;

/// A load.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Phase {
    /// As many posts as are answered: 95 heartbeats and 5 start reports, one a request.
    FlatOut,
    /// 2,000 such posts a second.
    Paced,
    /// As many requests of OTLP with 100 heartbeats as are answered.
    Batches,
}

impl Phase {
    const fn connections(self) -> u32 {
        match self {
            Self::FlatOut => 768,
            Self::Paced => 256,
            Self::Batches => 32,
        }
    }

    /// Returns the time between two requests of one connection.
    fn pause(self) -> Option<Duration> {
        let paced = matches!(self, Self::Paced);
        paced.then(|| Duration::from_secs(1) * self.connections() / 2_000)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FlatOut => "as fast as it goes, 95:5",
            Self::Paced => "2,000 a second, 95:5",
            Self::Batches => "OTLP, 100 records a request",
        })
    }
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) records: u64,
    pub(crate) time: Duration,
    /// The time of each answer, sorted.
    answers: Vec<Duration>,
}

impl Done {
    /// Returns the time below which so many percent of the answers took, in milliseconds.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let place = (self.answers.len() * percent / 100).min(self.answers.len() - 1);
        self.answers[place].as_secs_f64() * 1e3
    }
}

/// Posts to a server, and prints what it did. Returns the records.
pub(crate) fn print(
    runtime: &Runtime,
    server: &Process,
    what: &str,
    phase: Phase,
    time: Duration,
) -> u64 {
    let cpu = server.cpu();
    let done = runtime.block_on(run(&server.line, phase, time));
    let cpu = (server.cpu() - cpu).as_secs_f64() * 1e6 / done.records as f64;
    println!(
        "{what}, {phase}: {:.0} records/s, {cpu:.1} µs of CPU a record, answer p50 {:.1} ms, p99 {:.1} ms, {} s",
        done.records as f64 / done.time.as_secs_f64(),
        done.percentile(50),
        done.percentile(99),
        time.as_secs()
    );
    done.records
}

/// Posts to the server at `address`.
pub(crate) async fn run(address: &str, phase: Phase, time: Duration) -> Done {
    let began = Instant::now();
    let next: Arc<AtomicU64> = Arc::default();
    let (report, mut tasks) = (report(), Vec::new());
    for n in 0..phase.connections() {
        let (address, next, report) = (address.to_owned(), Arc::clone(&next), report.clone());
        tasks.push(tokio::spawn(async move {
            let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
            stream.get_ref().set_nodelay(true).unwrap();
            let (mut answers, mut records, pause) = (Vec::new(), 0, phase.pause());
            // The connections do not post at the same moment.
            let mut due = began + pause.unwrap_or_default() * n / phase.connections();
            while began.elapsed() < time {
                if let Some(pause) = pause {
                    tokio::time::sleep_until(due.into()).await;
                    due += pause;
                }
                let number = next.fetch_add(1, Ordering::Relaxed);
                let (request, count) = request(phase, number, &report);
                let asked = Instant::now();
                post(&mut stream, &request).await;
                answers.push(asked.elapsed());
                records += count;
            }
            (answers, records)
        }));
    }
    let (mut answers, mut records) = (Vec::new(), 0);
    for task in tasks {
        let (more, count) = task.await.unwrap();
        answers.extend(more);
        records += count;
    }
    answers.sort_unstable();
    Done { records, time: began.elapsed(), answers }
}

/// Returns vLLM's start report on one line.
fn report() -> String {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/vllm-current.json");
    std::fs::read_to_string(golden).unwrap().replace("\n ", "")
}

fn uuid(number: u64) -> String {
    // Spread over all bits, as random identities are.
    let bits =
        u128::from(number % ENGINES + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let text = format!("{bits:032x}");
    format!("{}-{}-4{}-8{}-{}", &text[..8], &text[8..12], &text[13..16], &text[17..20], &text[20..])
}

fn request(phase: Phase, number: u64, report: &str) -> (Vec<u8>, u64) {
    let now =
        u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap();
    let (path, body, count) = match phase {
        Phase::FlatOut | Phase::Paced if number.is_multiple_of(20) => {
            let body = report
                .replace("b8a1f6f1-3a5b-4d0e-9d2f-6f1f0c7b9e10", &uuid(number / 20))
                .replace("1787206513123456768", &now.to_string());
            ("/", body.into_bytes(), 1)
        }
        Phase::FlatOut | Phase::Paced => {
            let beat = format!("{{\"uuid\": \"{}\", \"log_time\": {now}}}", uuid(number));
            ("/", beat.into_bytes(), 1)
        }
        Phase::Batches => ("/v1/traces", batch(number, now), BATCH),
    };
    let kind = if count == 1 { "json" } else { "x-protobuf" };
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: usage\r\ncontent-type: application/{kind}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend(body);
    (request, count)
}

/// Returns a request of OTLP with heartbeats of many engines, as a collector that gathers them sends it.
fn batch(number: u64, now: u64) -> Vec<u8> {
    let pair = |key: &str, value: String| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(value)) }),
        ..KeyValue::default()
    };
    let groups = (0..BATCH).map(|n| ResourceSpans {
        resource: Some(Resource {
            attributes: vec![pair("service.instance.id", uuid(number * BATCH + n))],
            ..Resource::default()
        }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "otel_usage".to_owned(),
                ..InstrumentationScope::default()
            }),
            spans: vec![Span {
                trace_id: u128::from(number + 1).to_be_bytes().to_vec(),
                span_id: (n + 1).to_be_bytes().to_vec(),
                name: "vllm.heartbeat".to_owned(),
                end_time_unix_nano: now,
                attributes: vec![pair("otel_usage.contract", "vllm/current".to_owned())],
                ..Span::default()
            }],
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    });
    ExportTraceServiceRequest { resource_spans: groups.collect() }.encode_to_vec()
}

async fn post(stream: &mut BufReader<TcpStream>, request: &[u8]) {
    stream.get_mut().write_all(request).await.unwrap();
    let (mut line, mut length, mut first) = (String::new(), 0, true);
    loop {
        line.clear();
        stream.read_line(&mut line).await.unwrap();
        if std::mem::take(&mut first) {
            assert!(line.starts_with("HTTP/1.1 200"), "{line}");
        }
        if let Some(text) = line.strip_prefix("content-length: ") {
            length = text.trim().parse().unwrap();
        }
        if line == "\r\n" {
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            return;
        }
    }
}
