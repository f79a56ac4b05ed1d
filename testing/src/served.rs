//! A bridge that serves in this process, and requests for it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::{SpanContext, TraceFlags, TraceState};
use opentelemetry::{KeyValue, SpanId, TraceId};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use otel_usage::schema::{Decision, vllm};
use otel_usage::settings::Env;
use otel_usage::{Contract, Usage};
use otel_usage_bridge::{Bridge, Config};
use prost::Message as _;
use reqwest::{Client, Response};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::upstream::Upstream;
use crate::{otlp, unflatten};

/// Returns a configuration: a free port, collection on, no file of this machine.
pub fn config() -> Config {
    let mut config = Config::default();
    // No answer of a test may depend on how busy its machine is. A test of a limit sets its own.
    let limits = &mut config.limits;
    for limit in [&mut limits.read, &mut limits.post, &mut limits.deliver, &mut limits.drain] {
        *limit = Duration::from_secs(600);
    }
    config.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.operator = operator(Env::given([("OTEL_USAGE_MODE", "on"), ("HOME", "/nonexistent")]));
    config
}

/// Returns the operator of a machine with this environment.
pub fn operator(env: Env) -> Arc<dyn otel_usage_bridge::Operator> {
    Arc::new(OfEnvironment(env))
}

#[derive(Debug)]
struct OfEnvironment(Env);

impl otel_usage_bridge::Operator for OfEnvironment {
    fn decision(&self, contract: &Contract) -> Decision {
        let builder = Usage::builder(contract).with_environment(self.0.clone());
        builder.inspect().unwrap().decision().clone()
    }

    fn server(&self, contract: &Contract) -> Option<(String, String)> {
        let variable = contract.server_variable.as_deref()?;
        self.0.pairs().find(|(name, _)| name == variable)
    }
}

/// Returns the same configuration with the server exporter to `upstream`.
pub fn to(upstream: &Upstream) -> Config {
    to_url(&upstream.url)
}

/// Returns the same configuration with the server exporter to a URL.
pub fn to_url(url: &str) -> Config {
    let mut config = config();
    config.exporters.server = true;
    config.servers =
        vec![("vllm".to_owned(), url.to_owned()), ("lmcache".to_owned(), url.to_owned())];
    config
}

/// A running bridge.
#[derive(Debug)]
pub struct Served {
    /// Its URL without a path.
    pub url: String,
    /// The client of its requests.
    pub client: Client,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<bool>,
}

impl Served {
    /// Starts a bridge on a free port.
    pub async fn start(config: &Config) -> Self {
        let bridge = Bridge::bind(config).await.unwrap();
        let url = format!("http://{}", bridge.addresses().unwrap()[0]);
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(bridge.serve(async move {
            let _ = stopped.await;
        }));
        Self { url, client: Client::new(), stop, serving }
    }

    /// Returns host and port.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Stops it and waits for the end. Returns whether it finished every request.
    pub async fn stop(self) -> bool {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap()
    }

    /// Asks it to stop and does not wait.
    pub fn ask_to_stop(self) -> JoinHandle<bool> {
        self.stop.send(()).unwrap();
        self.serving
    }

    /// Posts an OTLP request as protobuf.
    pub async fn send(&self, request: &ExportTraceServiceRequest) -> Response {
        self.post("/v1/traces", "application/x-protobuf", None, request.encode_to_vec()).await
    }

    /// Posts any body to a path.
    pub async fn post(
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

    /// Returns its counters and gauges, by name and labels.
    pub async fn metrics(&self) -> BTreeMap<String, f64> {
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

    /// Returns one counter, 0 if it is absent.
    pub async fn count(&self, name: &str) -> f64 {
        self.metrics().await.get(name).copied().unwrap_or(0.0)
    }
}

/// Returns a span that flattens to `payload`, with ids made from `n`.
pub fn span(contract: &Contract, message: &str, payload: &str, n: u64) -> (Resource, SpanData) {
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

/// Returns one request with these spans.
pub fn request(spans: impl IntoIterator<Item = (Resource, SpanData)>) -> ExportTraceServiceRequest {
    let mut request = ExportTraceServiceRequest::default();
    for (resource, span) in spans {
        let one = otlp::encode(&resource, span);
        request
            .resource_spans
            .extend(ExportTraceServiceRequest::decode(one.as_slice()).unwrap().resource_spans);
    }
    request
}

/// Returns the flat heartbeat of engine `n`.
pub fn beat(n: u64) -> String {
    format!(
        r#"{{"uuid": "00000000-0000-4000-8000-{n:012}", "log_time": {}}}"#,
        1_787_206_513_000_000_000 + n
    )
}

/// Returns one request with the heartbeats of these engines.
pub fn beats(engines: impl IntoIterator<Item = u64>) -> ExportTraceServiceRequest {
    request(engines.into_iter().map(|n| span(&vllm::CURRENT, "heartbeat", &beat(n), n)))
}

/// Returns the heartbeat of engine `n` with one more attribute.
pub fn beat_with(n: u64, name: &'static str, value: &'static str) -> ExportTraceServiceRequest {
    let (resource, mut span) = span(&vllm::CURRENT, "heartbeat", &beat(n), n);
    span.attributes.push(KeyValue::new(name, value));
    request([(resource, span)])
}

/// Compresses with gzip.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Compresses with zstd.
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 0).unwrap()
}
