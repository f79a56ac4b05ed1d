//! Checks flat JSON of unmodified engines at `/v1/logs`, as a collector's webhook receiver forwards it.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use otel_usage_testing::json::python_form;
use otel_usage_testing::served::{Served, to};
use otel_usage_testing::upstream::{Reply, Upstream};
use prost::Message as _;
use serde_json::{Value as Json, json};

pub(crate) fn golden(file: &str) -> String {
    std::fs::read_to_string(format!("{}/../tests/golden/{file}", env!("CARGO_MANIFEST_DIR")))
        .unwrap()
}

pub(crate) fn text(text: impl Into<String>) -> Any {
    Any::StringValue(text.into())
}

/// Returns a request with one record for each body, with the time at which the collector received it.
pub(crate) fn logs(bodies: impl IntoIterator<Item = Any>) -> ExportLogsServiceRequest {
    let log_records = bodies.into_iter().enumerate().map(|(n, body)| LogRecord {
        observed_time_unix_nano: 1_787_206_513_000_000_000 + u64::try_from(n).unwrap(),
        body: Some(AnyValue { value: Some(body) }),
        ..LogRecord::default()
    });
    let scope = ScopeLogs { log_records: log_records.collect(), ..ScopeLogs::default() };
    let group = ResourceLogs { scope_logs: vec![scope], ..ResourceLogs::default() };
    ExportLogsServiceRequest { resource_logs: vec![group] }
}

pub(crate) async fn send(served: &Served, request: &ExportLogsServiceRequest) -> u16 {
    let answer =
        served.post("/v1/logs", "application/x-protobuf", None, request.encode_to_vec()).await;
    answer.status().as_u16()
}

/// Returns the message that arrives for `body`, with its path.
pub(crate) async fn arrives(body: Any) -> Vec<(String, String)> {
    let upstream = Upstream::new().await;
    let served = Served::start(&to(&upstream)).await;
    assert_eq!(send(&served, &logs([body])).await, 200);
    upstream.posts().into_iter().map(|post| (post.path, post.body)).collect()
}

/// Returns JSON as OTLP's own map.
pub(crate) fn kvlist(json: &Json) -> Any {
    match json {
        Json::Bool(value) => Any::BoolValue(*value),
        Json::Number(number) => number
            .as_i64()
            .map_or_else(|| Any::DoubleValue(number.as_f64().unwrap()), Any::IntValue),
        Json::String(value) => text(value),
        Json::Array(list) => {
            let values = list.iter().map(|item| AnyValue { value: Some(kvlist(item)) });
            Any::ArrayValue(ArrayValue { values: values.collect() })
        }
        Json::Object(map) => {
            let values = map.iter().map(|(key, value)| KeyValue {
                key: key.clone(),
                value: Some(AnyValue { value: (!value.is_null()).then(|| kvlist(value)) }),
                ..KeyValue::default()
            });
            Any::KvlistValue(KeyValueList { values: values.collect() })
        }
        Json::Null => panic!("an empty value is no value"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flat_json_arrives_unchanged_in_every_shape_of_body() {
    for (file, path) in [
        ("vllm-v0.4.0.json", "/"),
        ("vllm-0.7.json", "/"),
        ("vllm-0.11.json", "/"),
        ("vllm-current.json", "/"),
        ("vllm-current-cpu.json", "/"),
        ("vllm-current-rocm.json", "/"),
        ("vllm-heartbeat.json", "/"),
        ("lmcache-doc-env.json", "/context"),
        ("lmcache-v1-env.json", "/context"),
        ("lmcache-v1-env-cpu-only.json", "/context"),
        ("lmcache-v1-engine-no-remote.json", "/context"),
        ("lmcache-v1-metadata.json", "/context"),
        ("lmcache-v1-mp-server.json", "/context"),
    ] {
        let flat = golden(file);
        let expected = [(path.to_owned(), python_form(&flat))];
        assert_eq!(arrives(text(flat.as_str())).await, expected, "{file}");
        assert_eq!(arrives(Any::BytesValue(flat.clone().into_bytes())).await, expected, "{file}");
        assert_eq!(
            arrives(kvlist(&serde_json::from_str(&flat).unwrap())).await,
            expected,
            "{file}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flat_json_is_reduced_to_the_contract_and_sanitized() {
    let mut engine: Json = serde_json::from_str(&golden("lmcache-v1-engine.json")).unwrap();
    engine["remote_url"] = json!("redis://user:pw-secret@host-secret:6379");
    engine["model_name"] = json!("/home/secret/model");
    engine["chunksize"] = json!("secret");
    engine["kv_dtype"] = json!({ "nested": "secret" });
    engine["hf_token"] = json!("secret");
    engine["session_id"] = json!(["secret"]);
    let arrived = arrives(text(engine.to_string())).await;
    let body = &arrived[0].1;
    assert!(!body.contains("secret"), "{body}");
    let flat: Json = serde_json::from_str(body).unwrap();
    assert_eq!(flat["remote_url"], "redis://");
    assert_eq!(flat["model_name"], "<local>");
    // A value of the wrong type is replaced by the field's null rule.
    assert_eq!(
        (&flat["chunksize"], &flat["kv_dtype"], &flat["session_id"]),
        (&json!(0), &json!(""), &json!(""))
    );
    assert_eq!(flat.as_object().unwrap().len(), engine.as_object().unwrap().len() - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn flat_json_of_older_engines_keeps_only_known_fields() {
    // Without `schema_version` the documented contract applies. Fields of another name or type are left out.
    let legacy = json!({
        "provider": "GCP", "num_cpu": null, "cpu_type": "x", "cpu_family_model_stepping": "6,85,7",
        "total_memory": 1, "architecture": ["64bit", "ELF"], "platforms": "Linux",
        "gpu_count": 1, "gpu_type": "H100", "gpu_memory_per_device": [1, 2, 3], "source": "DOCKER",
        "message_type": "EnvMessage",
    });
    let arrived = arrives(text(legacy.to_string())).await;
    let flat: Json = serde_json::from_str(&arrived[0].1).unwrap();
    assert_eq!(
        (&flat["provider"], &flat["num_cpu"], &flat["gpu_count"]),
        (&json!("GCP"), &json!(0), &json!(1))
    );
    assert_eq!(flat["gpu_memory_per_device"], 0);
    // Early clients of schema 1 lack some fields.
    let mut early: Json = serde_json::from_str(&golden("lmcache-v1-mp-server.json")).unwrap();
    early.as_object_mut().unwrap().remove("enable_dedup_content");
    let arrived = arrives(text(early.to_string())).await;
    let flat: Json = serde_json::from_str(&arrived[0].1).unwrap();
    // A value that the engine did not send is not invented.
    assert_eq!(flat, early);
    // A heartbeat with runtime keys loses them.
    let uuid = "b8a1f6f1-3a5b-4d0e-9d2f-6f1f0c7b9e10";
    let beat = json!({ "uuid": uuid, "log_time": 5, "secret": true });
    assert_eq!(
        arrives(text(beat.to_string())).await,
        [("/".to_owned(), format!(r#"{{"uuid": "{uuid}", "log_time": 5}}"#))]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn unrecognised_flat_json_is_dropped_and_counted() {
    let mut half: Json = serde_json::from_str(&golden("vllm-v0.4.0.json")).unwrap();
    let mut kept = 0;
    half.as_object_mut().unwrap().retain(|_, _| {
        kept += 1;
        kept <= 13
    });
    let mut next: Json = serde_json::from_str(&golden("lmcache-v1-env.json")).unwrap();
    next["schema_version"] = json!(2);
    let bodies = [
        text("not json"),
        text("[1, 2]"),
        text("\"text\""),
        Any::IntValue(7),
        Any::BytesValue(vec![0xff, 0xfe]),
        text("{}"),
        text(r#"{"uuid": "u"}"#),
        text(r#"{"message_type": "Prompt", "text": "secret"}"#),
        // A part of a start message is not a heartbeat.
        text(half.to_string()),
        // No contract has this schema version.
        text(next.to_string()),
    ];
    let upstream = Upstream::new().await;
    let served = Served::start(&to(&upstream)).await;
    assert_eq!(send(&served, &logs(bodies)).await, 200);
    assert_eq!(upstream.bodies(), Vec::<String>::new());
    assert_eq!(served.count(r#"records_dropped_total{reason="not_flat_json"}"#).await, 5.0);
    assert_eq!(served.count(r#"records_dropped_total{reason="not_recognised"}"#).await, 5.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_flat_record_is_sent_once_but_equal_machines_both() {
    let upstream =
        Upstream::scripted(|before, _| Reply::Status(if before == 1 { 500 } else { 200 })).await;
    let served = Served::start(&to(&upstream)).await;
    // Two equal machines post the same bytes. Only the collector's time differs.
    let flat = python_form(&golden("lmcache-doc-env.json"));
    let request = logs([text(flat.as_str()), text(flat.as_str())]);
    assert_eq!(send(&served, &request).await, 503);
    assert_eq!(send(&served, &request).await, 200);
    assert_eq!(upstream.bodies(), [flat.as_str(), &flat, &flat]);
    assert_eq!(served.count(r#"records_delivered_total{sink="server"}"#).await, 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_and_grpc_carry_logs_too() {
    let flat = golden("lmcache-v1-env.json");
    let upstream = Upstream::new().await;
    let served = Served::start(&to(&upstream)).await;
    let json = serde_json::to_vec(&logs([text(flat.as_str())])).unwrap();
    assert_eq!(served.post("/v1/logs", "application/json", None, json).await.status(), 200);
    let mut client = LogsServiceClient::connect(served.url.clone()).await.unwrap();
    let beat = golden("vllm-heartbeat.json");
    client.export(logs([text(beat.as_str())])).await.unwrap();
    assert_eq!(upstream.bodies(), [python_form(&flat), python_form(&beat)]);
}
