//! A bridge that serves in this process, and the requests that are sent to it.

use std::collections::BTreeMap;
use std::io::Write as _;

use opentelemetry::trace::{SpanContext, TraceFlags, TraceState};
use opentelemetry::{KeyValue, SpanId, TraceId};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use otel_usage::schema::vllm;
use otel_usage::{Contract, Env};
use otel_usage_bridge::{Bridge, Config};
use prost::Message as _;
use reqwest::{Client, Response};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::{otlp, unflatten};
use crate::upstream::Upstream;

/// A configuration for a test: a free port, collection on, no file of this machine read.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.environment = Some(Env::given([("OTEL_USAGE_MODE", "on"), ("HOME", "/nonexistent")]));
    config
}

/// The same with the `server` sink to `upstream`.
pub(crate) fn to(upstream: &Upstream) -> Config {
    to_url(&upstream.url)
}

pub(crate) fn to_url(url: &str) -> Config {
    let mut config = config();
    config.sinks.server = true;
    config.servers =
        vec![("vllm".to_owned(), url.to_owned()), ("lmcache".to_owned(), url.to_owned())];
    config
}

pub(crate) struct Served {
    pub(crate) url: String,
    pub(crate) client: Client,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<bool>,
}

impl Served {
    pub(crate) async fn start(config: &Config) -> Self {
        let bridge = Bridge::bind(config).await.unwrap();
        let url = format!("http://{}", bridge.addresses().unwrap()[0]);
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(bridge.serve(async move {
            let _ = stopped.await;
        }));
        Self { url, client: Client::new(), stop, serving }
    }

    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Asks it to stop, and waits until it has. Whether everything was finished.
    pub(crate) async fn stop(self) -> bool {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap()
    }

    /// The same without waiting.
    pub(crate) fn ask_to_stop(self) -> JoinHandle<bool> {
        self.stop.send(()).unwrap();
        self.serving
    }

    pub(crate) async fn send(&self, request: &ExportTraceServiceRequest) -> Response {
        self.post("/v1/traces", "application/x-protobuf", None, request.encode_to_vec()).await
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        media_type: &str,
        encoding: Option<&str>,
        body: Vec<u8>,
    ) -> Response {
        let mut request =
            self.client.post(format!("{}{path}", self.url)).header("content-type", media_type);
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        request.body(body).send().await.unwrap()
    }

    /// The counters and gauges, by name and labels.
    pub(crate) async fn metrics(&self) -> BTreeMap<String, f64> {
        let text = self.client.get(format!("{}/metrics", self.url)).send().await.unwrap();
        let text = text.text().await.unwrap();
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                let (name, value) = line.rsplit_once(' ').unwrap();
                Some((name.strip_prefix("otel_usage_bridge_")?.to_owned(), value.parse().unwrap()))
            })
            .collect()
    }

    /// One counter; 0 while it is not there.
    pub(crate) async fn count(&self, name: &str) -> f64 {
        self.metrics().await.get(name).copied().unwrap_or(0.0)
    }
}

/// A span that would flatten to `payload`, with ids made from `n`.
pub(crate) fn span(
    contract: &Contract,
    message: &str,
    payload: &str,
    n: u64,
) -> (Resource, SpanData) {
    let spec = unflatten::message(contract, message);
    let (resource, mut span) = unflatten::unflatten(contract, spec, payload);
    span.span_context = SpanContext::new(
        TraceId::from_bytes((u128::from(n) + 1).to_be_bytes()),
        SpanId::from_bytes((n + 1).to_be_bytes()),
        TraceFlags::SAMPLED,
        false,
        TraceState::default(),
    );
    (resource, span)
}

pub(crate) fn request(
    spans: impl IntoIterator<Item = (Resource, SpanData)>,
) -> ExportTraceServiceRequest {
    let mut request = ExportTraceServiceRequest::default();
    for (resource, span) in spans {
        let one = otlp::encode(&resource, span);
        request
            .resource_spans
            .extend(ExportTraceServiceRequest::decode(one.as_slice()).unwrap().resource_spans);
    }
    request
}

/// The flat heartbeat of engine `n`.
pub(crate) fn beat(n: u64) -> String {
    format!(
        r#"{{"uuid": "00000000-0000-4000-8000-{n:012}", "log_time": {}}}"#,
        1_787_206_513_000_000_000 + n
    )
}

/// Heartbeats of so many engines in one request.
pub(crate) fn beats(engines: impl IntoIterator<Item = u64>) -> ExportTraceServiceRequest {
    request(engines.into_iter().map(|n| span(&vllm::CURRENT, "heartbeat", &beat(n), n)))
}

/// The span of heartbeat `n` with one more attribute.
pub(crate) fn beat_with(
    n: u64,
    name: &'static str,
    value: &'static str,
) -> ExportTraceServiceRequest {
    let (resource, mut span) = span(&vllm::CURRENT, "heartbeat", &beat(n), n);
    span.attributes.push(KeyValue::new(name, value));
    request([(resource, span)])
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 0).unwrap()
}
