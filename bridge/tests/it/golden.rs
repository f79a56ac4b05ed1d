//! Sends every golden payload as OTLP in every encoding and compares the delivered bytes.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use otel_usage::Contract;
use otel_usage::schema::{lmcache, vllm};
use otel_usage_testing::json::python_form;
use otel_usage_testing::served::{Served, config, gzip, request, span, to, zstd};
use otel_usage_testing::upstream::Upstream;
use prost::Message as _;
use tonic::codec::CompressionEncoding;

struct Golden {
    file: String,
    flat: String,
    path: &'static str,
    request: ExportTraceServiceRequest,
}

/// Returns the contract of a golden file by the file's name.
fn contract(file: &str) -> &'static Contract {
    match file {
        _ if file.starts_with("vllm-v0.4.0") => &vllm::V0_4_0,
        _ if file.starts_with("vllm-0.7") => &vllm::V0_7,
        _ if file.starts_with("vllm-0.11") => &vllm::V0_11,
        _ if file.starts_with("vllm-") => &vllm::CURRENT,
        _ if file.starts_with("lmcache-doc") => &lmcache::DOC,
        _ if file.starts_with("lmcache-legacy") => &lmcache::LEGACY,
        _ if file.starts_with("lmcache-v1") => &lmcache::V1,
        _ => panic!("{file}: which contract is it?"),
    }
}

fn goldens() -> Vec<Golden> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden");
    let mut goldens: Vec<Golden> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        // No built-in contract has its runtime keys.
        .filter(|path| !path.ends_with("vllm-heartbeat-runtime.json"))
        .enumerate()
        .map(|(n, path)| {
            let file = path.file_name().unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let object: serde_json::Value = serde_json::from_str(&text).unwrap();
            let (message, path) = match object["message_type"].as_str() {
                Some(name) => {
                    let spec =
                        contract(&file).messages.iter().find(|spec| spec.name == name).unwrap();
                    (name, format!("/{}", spec.endpoint))
                }
                None if object.as_object().unwrap().contains_key("provider") => {
                    ("report", "/".to_owned())
                }
                None => ("heartbeat", "/".to_owned()),
            };
            let span = span(contract(&file), message, &text, u64::try_from(n).unwrap());
            // Golden payloads hold the values of the originals, which the bridge sanitizes.
            let flat = python_form(&text)
                .replace("redis://cache.example.internal:6379", "redis://")
                .replace("lm://cache.example.internal:65432", "lm://");
            Golden { file, flat, path: path.leak(), request: request([span]) }
        })
        .collect();
    goldens.sort_by(|a, b| a.file.cmp(&b.file));
    assert!(goldens.len() >= 16, "{}", goldens.len());
    goldens
}

#[derive(Debug, Clone, Copy)]
enum Way {
    Protobuf,
    Json,
    Gzip,
    Zstd,
    GzipJson,
    Grpc(Option<CompressionEncoding>),
}

async fn send(served: &Served, way: Way, request: &ExportTraceServiceRequest) {
    let protobuf = request.encode_to_vec();
    let json = serde_json::to_vec(request).unwrap();
    let (media_type, encoding, body) = match way {
        Way::Protobuf => ("application/x-protobuf", None, protobuf),
        Way::Json => ("application/json; charset=utf-8", None, json),
        Way::Gzip => ("application/x-protobuf", Some("gzip"), gzip(&protobuf)),
        Way::Zstd => ("application/x-protobuf", Some("zstd"), zstd(&protobuf)),
        Way::GzipJson => ("application/json", Some("gzip"), gzip(&json)),
        Way::Grpc(compression) => {
            let mut client = TraceServiceClient::connect(served.url.clone()).await.unwrap();
            if let Some(compression) = compression {
                client = client.send_compressed(compression);
            }
            let answer = client.export(request.clone()).await.unwrap().into_inner();
            assert_eq!(answer.partial_success, None);
            return;
        }
    };
    let answer = served.post("/v1/traces", media_type, encoding, body).await;
    assert_eq!(answer.status(), 200, "{way:?}");
    let form = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(media_type.starts_with(&form), "{form}");
    let body = answer.bytes().await.unwrap();
    assert_eq!(body.as_ref(), if form == "application/json" { &b"{}"[..] } else { b"" });
}

#[tokio::test(flavor = "multi_thread")]
async fn every_golden_payload_arrives_unchanged_in_every_encoding() {
    let goldens = goldens();
    for way in [
        Way::Protobuf,
        Way::Json,
        Way::Gzip,
        Way::Zstd,
        Way::GzipJson,
        Way::Grpc(None),
        Way::Grpc(Some(CompressionEncoding::Gzip)),
        Way::Grpc(Some(CompressionEncoding::Zstd)),
    ] {
        let upstream = Upstream::new().await;
        let served = Served::start(&to(&upstream)).await;
        for golden in &goldens {
            send(&served, way, &golden.request).await;
            let post = upstream.posts().pop().unwrap();
            assert_eq!(post.body, golden.flat, "{} {way:?}", golden.file);
            assert_eq!(post.path, golden.path, "{}", golden.file);
            assert_eq!(post.headers["content-type"], "application/json");
            assert_eq!(
                post.headers["user-agent"],
                concat!("otel-usage/", env!("CARGO_PKG_VERSION"))
            );
        }
        assert_eq!(upstream.posts().len(), goldens.len());
        assert!(served.stop().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_all_goldens_arrives_once_each_at_server_and_file() {
    let goldens = goldens();
    let mut batch = ExportTraceServiceRequest::default();
    for golden in &goldens {
        batch.resource_spans.extend(golden.request.resource_spans.clone());
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flat.jsonl");
    let upstream = Upstream::new().await;
    let mut config = to(&upstream);
    config.exporters.file = Some(otel_usage_bridge::FileExporter::new(&path));
    let served = Served::start(&config).await;
    send(&served, Way::Protobuf, &batch).await;

    let mut expected: Vec<String> = goldens.into_iter().map(|golden| golden.flat).collect();
    expected.sort();
    let mut posted = upstream.bodies();
    posted.sort();
    assert_eq!(posted, expected);
    let text = std::fs::read_to_string(&path).unwrap();
    let mut written: Vec<&str> = text.lines().collect();
    written.sort_unstable();
    assert_eq!(written, expected);
}

#[tokio::test]
async fn a_bridge_without_exporters_does_not_start() {
    let error = otel_usage_bridge::Bridge::bind(&config()).await.unwrap_err().to_string();
    assert!(error.contains("--exporter"), "{error}");
}
