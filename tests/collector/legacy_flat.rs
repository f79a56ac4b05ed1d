//! `legacy-flat.yaml`: flat JSON of engines without OTLP becomes log records for the bridge.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use otel_usage_testing::receiver::Receiver;
use prost::Message as _;

use crate::client;
use crate::otelcol::{Otelcol, find, free};

#[test]
fn flat_bodies_reach_the_bridge_unchanged() {
    let Some(binary) = find() else { return };
    let (bridge, flat) = (Receiver::start(), free());
    let mut otelcol = Otelcol::new(&binary, "legacy-flat.yaml")
        .with("COLLECTOR_BRIDGE", bridge.url())
        .with("COLLECTOR_FLAT", flat.to_string())
        .started();
    let post =
        |path: &str, body: &str| client::post(flat, path, "application/json", body.as_bytes());

    // vLLM posts to the root, LMCache below it; numbers beyond 2^53 and nulls survive in text.
    let bodies = [
        r#"{"uuid": "a", "log_time": 1716000000123456789, "quantization": null}"#,
        r#"{"message_type": "EngineMessage", "remote_url": "redis://user:pw@host"}"#,
        "{\"message_type\": \"EnvMessage\",\n \"source\": \"a\\nb\"}\n",
    ];
    assert_eq!(post("/", bodies[0]), Some(200));
    assert_eq!(post("/context?who=planted", bodies[1]), Some(200));
    assert_eq!(post("/any/where", bodies[2]), Some(200));
    // Text that is not an object is dropped, and a request that is too large is refused.
    assert_eq!(post("/context", "user=planted"), Some(200));
    assert_ne!(
        post("/context", &format!("{{\"planted\": \"{}\"}}", "x".repeat(70_000))),
        Some(200)
    );

    otelcol.stop();
    let mut arrived = Vec::new();
    for request in bridge.requests.try_iter() {
        assert_eq!(request.path, "/v1/logs");
        let body = client::body(&request);
        assert!(!String::from_utf8_lossy(&body).contains("planted"));
        for group in ExportLogsServiceRequest::decode(body.as_slice()).unwrap().resource_logs {
            assert_eq!(group.resource.unwrap_or_default().attributes, []);
            for scope in group.scope_logs {
                let about = scope.scope.unwrap();
                assert_eq!((about.name.as_str(), about.attributes), ("otel_usage", vec![]));
                for record in scope.log_records {
                    assert_eq!(record.attributes, []);
                    let Some(Any::StringValue(text)) = record.body.unwrap().value else { panic!() };
                    arrived.push(text);
                }
            }
        }
    }
    arrived.sort();
    let mut sent = bodies;
    sent.sort_unstable();
    assert_eq!(arrived, sent);
    // The disk holds no raw body.
    let state: Vec<_> = std::fs::read_dir(otelcol.state.path()).unwrap().flatten().collect();
    assert_eq!(state.iter().map(|entry| entry.file_name()).collect::<Vec<_>>(), ["otelcol.log"]);
}
