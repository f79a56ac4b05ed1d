//! Clients that post as engines do, on connections that stay open.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// Engines that report. Each is heard of again and again.
const ENGINES: u64 = 100_000;
/// Records of one request of OTLP.
const BATCH: u64 = 100;

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mix {
    /// 95 heartbeats and 5 start reports, a POST each.
    Posts,
    /// Requests of OTLP with 100 heartbeats.
    Batches,
}

/// What a run did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) records: u64,
    pub(crate) time: Duration,
    /// The time of each answer, sorted.
    answers: Vec<Duration>,
}

pub(crate) struct Load {
    address: String,
    report: String,
    next: Arc<AtomicU64>,
}

impl Done {
    /// Returns the time below which so many percent of the answers took, in milliseconds.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let place = (self.answers.len() * percent / 100).min(self.answers.len() - 1);
        self.answers[place].as_secs_f64() * 1e3
    }
}

impl Load {
    pub(crate) fn new(address: &str) -> Self {
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/vllm-current.json");
        let report = std::fs::read_to_string(golden).unwrap().replace("\n ", "");
        Self { address: address.to_owned(), report, next: Arc::default() }
    }

    pub(crate) async fn run(
        &self,
        connections: usize,
        rate: Option<u32>,
        mix: Mix,
        time: Duration,
    ) -> Done {
        let began = Instant::now();
        let mut tasks = Vec::new();
        for n in 0..connections {
            let (address, next, report) =
                (self.address.clone(), Arc::clone(&self.next), self.report.clone());
            let every = rate
                .map(|rate| Duration::from_secs(1) * u32::try_from(connections).unwrap() / rate);
            tasks.push(tokio::spawn(async move {
                let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
                stream.get_ref().set_nodelay(true).unwrap();
                let (mut answers, mut records) = (Vec::new(), 0);
                // The connections do not post at the same moment.
                let mut due = began
                    + every.unwrap_or_default() * u32::try_from(n).unwrap()
                        / u32::try_from(connections).unwrap();
                while began.elapsed() < time {
                    if let Some(every) = every {
                        tokio::time::sleep_until(due.into()).await;
                        due += every;
                    }
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let (request, count) = request(mix, number, &report);
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
}

fn uuid(number: u64) -> String {
    // Spread over all bits, as random identities are.
    let bits =
        u128::from(number % ENGINES + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let text = format!("{bits:032x}");
    format!("{}-{}-4{}-8{}-{}", &text[..8], &text[8..12], &text[13..16], &text[17..20], &text[20..])
}

fn request(mix: Mix, number: u64, report: &str) -> (Vec<u8>, u64) {
    let now =
        u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap();
    let (path, body, count) = match mix {
        Mix::Posts if number.is_multiple_of(20) => {
            let body = report
                .replace("b8a1f6f1-3a5b-4d0e-9d2f-6f1f0c7b9e10", &uuid(number / 20))
                .replace("1787206513123456768", &now.to_string());
            ("/", body, 1)
        }
        Mix::Posts => ("/", format!("{{\"uuid\": \"{}\", \"log_time\": {now}}}", uuid(number)), 1),
        Mix::Batches => {
            let groups: Vec<String> = (0..BATCH)
                .map(|n| {
                    format!(
                        r#"{{"resource":{{"attributes":[{{"key":"service.instance.id","value":{{"stringValue":"{}"}}}}]}},"scopeSpans":[{{"scope":{{"name":"otel_usage"}},"spans":[{{"traceId":"{number:032x}","spanId":"{:016x}","name":"vllm.heartbeat","endTimeUnixNano":"{now}","attributes":[{{"key":"otel_usage.contract","value":{{"stringValue":"vllm/current"}}}}]}}]}}]}}"#,
                        uuid(number * BATCH + n),
                        n + 1,
                    )
                })
                .collect();
            ("/v1/traces", format!("{{\"resourceSpans\":[{}]}}", groups.join(",")), BATCH)
        }
    };
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: usage\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    (head.into_bytes(), count)
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
