//! Checks that our messages equal the golden payloads, which the usage servers receive today, byte for byte.
//!
//! The values of each payload go through Resource and span attributes. The message must have the same keys,
//! order, JSON types, nulls and 64-bit integers: in this process, and after OTLP encoding in another process
//! with another time zone.

use std::process::Command;

use opentelemetry::KeyValue;
use otel_usage::Contract;
use otel_usage::schema::flatten;
use otel_usage::schema::{CompiledContract, Field, Type, lmcache, vllm};
use otel_usage_testing::json::{keys, python_form};
use otel_usage_testing::read;
use otel_usage_testing::sample;
use otel_usage_testing::unflatten::{message, unflatten};
use otel_usage_testing::{Operator, otlp, schemas};

/// File, contract, message.
static GOLDENS: &[(&str, &Contract, &str)] = &[
    ("vllm-v0.4.0.json", &vllm::V0_4_0, "report"),
    ("vllm-0.7.json", &vllm::V0_7, "report"),
    ("vllm-0.11.json", &vllm::V0_11, "report"),
    ("vllm-current.json", &vllm::CURRENT, "report"),
    ("vllm-current-cpu.json", &vllm::CURRENT, "report"),
    ("vllm-current-rocm.json", &vllm::CURRENT, "report"),
    ("vllm-current-tpu.json", &vllm::CURRENT, "report"),
    ("vllm-current-xpu.json", &vllm::CURRENT, "report"),
    ("vllm-heartbeat.json", &vllm::CURRENT, "heartbeat"),
    ("lmcache-doc-env.json", &lmcache::DOC, "EnvMessage"),
    ("lmcache-v1-env.json", &lmcache::V1, "EnvMessage"),
    ("lmcache-v1-env-mp.json", &lmcache::V1, "EnvMessage"),
    ("lmcache-v1-env-cpu-only.json", &lmcache::V1, "EnvMessage"),
    ("lmcache-v1-engine.json", &lmcache::V1, "EngineMessage"),
    ("lmcache-v1-engine-no-remote.json", &lmcache::V1, "EngineMessage"),
    ("lmcache-v1-metadata.json", &lmcache::V1, "MetadataMessage"),
    ("lmcache-v1-mp-server.json", &lmcache::V1, "MPServerMessage"),
    ("lmcache-v1-continuous-context.json", &lmcache::V1, "ContinuousContextMessage"),
    ("lmcache-v1-continuous-context-mp.json", &lmcache::V1, "ContinuousContextMessage"),
    ("lmcache-v1-continuous-context-idle.json", &lmcache::V1, "ContinuousContextMessage"),
    ("lmcache-v1-cache-lifespan.json", &lmcache::V1, "CacheLifespanMessage"),
    ("lmcache-v1-l1-usage.json", &lmcache::V1, "L1UsageMessage"),
    ("lmcache-v1-l1-usage-probe-failed.json", &lmcache::V1, "L1UsageMessage"),
    ("lmcache-v1-l2-connector-usage.json", &lmcache::V1, "L2ConnectorUsageMessage"),
    ("lmcache-v1-l2-connector-usage-removed.json", &lmcache::V1, "L2ConnectorUsageMessage"),
    ("lmcache-legacy-env.json", &lmcache::LEGACY, "EnvMessage"),
    ("lmcache-legacy-engine.json", &lmcache::LEGACY, "EngineMessage"),
    ("lmcache-legacy-metadata.json", &lmcache::LEGACY, "MetadataMessage"),
    ("lmcache-legacy-continuous-context.json", &lmcache::LEGACY, "ContinuousContextMessage"),
];

fn read(file: &str) -> String {
    std::fs::read_to_string(format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn every_golden_payload_survives_the_round_trip() {
    for (file, contract, name) in GOLDENS {
        let golden = read(file);
        let compiled = CompiledContract::new(contract).unwrap();
        let (resource, span) = unflatten(contract, message(contract, name), &golden);
        let environment = read::resource(&compiled, &resource);
        // In the form in which a receiver has it.
        let list: Vec<KeyValue> =
            resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
        assert_eq!(compiled.read_resource(&list), environment);
        let mut losses = Vec::new();
        let record =
            read::span(&compiled, &span, &mut |loss, name| losses.push((loss, name.to_owned())))
                .unwrap();
        let flat = flatten(&compiled, &environment, &record).unwrap();
        assert_eq!(flat.to_json(), python_form(&golden), "{file}");
        assert_eq!(losses, [], "{file}");
        assert_eq!(flat.name(), *name);
        // The golden payloads hold the values of the originals, and the schema describes our sanitized values.
        let (mut clean, mut fit) = (environment.clone(), record.clone());
        compiled.sanitize_resource(&mut clean);
        compiled.sanitize_record(&mut fit);
        let leaves = flatten(&compiled, &clean, &fit).unwrap().to_json();
        schemas::check(&contract.id, name, &serde_json::from_str(&leaves).unwrap());
    }
}

#[test]
fn every_message_has_a_golden_payload_or_a_reason() {
    let without = [
        // They equal the messages of schema 1 without the header fields, as the test below checks.
        ("lmcache/doc", "EngineMessage"),
        ("lmcache/doc", "MetadataMessage"),
        // The same table as in vllm/current.
        ("vllm/0.11", "heartbeat"),
        ("vllm/0.7", "heartbeat"),
        ("vllm/0.4.0", "heartbeat"),
    ];
    for contract in Contract::built_in() {
        for spec in contract.messages.iter() {
            let golden =
                GOLDENS.iter().any(|(_, c, name)| c.id == contract.id && *name == spec.name);
            let excused = without.contains(&(contract.id.as_ref(), spec.name.as_ref()));
            assert!(golden != excused, "{} {}", contract.id, spec.name);
        }
    }
}

#[test]
fn documented_lmcache_messages_are_schema_1_without_the_header() {
    let header = ["schema_version", "session_id", "machine_id", "deployment_mode"];
    for name in ["EnvMessage", "EngineMessage", "MetadataMessage"] {
        let documented: Vec<_> =
            message(&lmcache::DOC, name).fields.iter().map(|field| field.name.as_ref()).collect();
        let expected: Vec<_> = message(&lmcache::V1, name)
            .fields
            .iter()
            .map(|field| field.name.as_ref())
            .filter(|name| !header.contains(name))
            .collect();
        assert_eq!(documented, expected);
        assert_eq!(documented[0], "message_type");
    }
    assert_eq!(message(&vllm::CURRENT, "report").fields.len(), 45);
    assert_eq!(message(&vllm::V0_11, "report").fields.len(), 34);
    assert_eq!(message(&vllm::V0_7, "report").fields.len(), 28);
    assert_eq!(message(&vllm::V0_4_0, "report").fields.len(), 26);
}

/// The variable that names the folder with the requests and the answer of the child of the next test.
const CHILD: &str = "OTEL_USAGE_TEST_GOLDEN_DIR";

#[test]
fn another_process_in_another_time_zone_flattens_the_same_from_otlp() {
    let directory = tempfile::tempdir().unwrap();
    for (index, (file, contract, name)) in GOLDENS.iter().enumerate() {
        let (resource, span) = unflatten(contract, message(contract, name), &read(file));
        // Through our own span, as the exporter makes it.
        let compiled = CompiledContract::new(contract).unwrap();
        let record = read::span(&compiled, &span, &mut |_, _| {}).unwrap();
        let environment = read::resource(&compiled, &resource);
        let bytes = {
            let (resource, span) = read::exported(&compiled, &environment, &record);
            otlp::encode(&resource, span)
        };
        std::fs::write(directory.path().join(format!("{index:02}.otlp")), bytes).unwrap();
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "golden::child_that_flattens_otlp", "--ignored", "--nocapture"])
        .env(CHILD, directory.path())
        .env("TZ", "Pacific/Chatham")
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    let flat = std::fs::read_to_string(directory.path().join("flat.jsonl")).unwrap();
    let expected: Vec<String> = GOLDENS.iter().map(|(file, ..)| python_form(&read(file))).collect();
    assert_eq!(flat.lines().collect::<Vec<_>>(), expected);
}

#[test]
#[ignore = "the other process of the test above"]
fn child_that_flattens_otlp() {
    let Some(directory) = std::env::var_os(CHILD) else { return };
    let directory = std::path::PathBuf::from(directory);
    let mut out = String::new();
    for index in 0..GOLDENS.len() {
        let bytes = std::fs::read(directory.join(format!("{index:02}.otlp"))).unwrap();
        for (resource, span) in otlp::decode(&bytes) {
            // The contract comes from the record, never from configuration.
            let id =
                span.attributes.iter().find(|a| a.key.as_str() == "otel_usage.contract").unwrap();
            let contract =
                Contract::built_in().into_iter().find(|c| c.id == id.value.as_str()).unwrap();
            let compiled = CompiledContract::new(contract).unwrap();
            let environment = read::resource(&compiled, &resource);
            let record =
                read::span(&compiled, &span, &mut |loss, name| panic!("{loss} {name}")).unwrap();
            out.push_str(&flatten(&compiled, &environment, &record).unwrap().to_json());
            out.push('\n');
        }
    }
    std::fs::write(directory.join("flat.jsonl"), out).unwrap();
}

#[test]
fn unset_keys_of_a_heartbeat_are_not_sent() {
    let key = |name, ty, attribute| {
        Field::record(name, ty, attribute, "A runtime key.").left_out_when_absent()
    };
    let contract = vllm::CURRENT
        .clone()
        .with_field("heartbeat", key("spec_decode", Type::Bool, "vllm.spec_decode"))
        .with_field("heartbeat", key("prompt_tokens_bucket", Type::Str, "vllm.prompt_tokens"))
        .with_field("heartbeat", key("num_preemptions", Type::Int, "vllm.num_preemptions"));
    let compiled = CompiledContract::new(&contract).unwrap();
    for file in ["vllm-heartbeat-runtime.json", "vllm-heartbeat.json"] {
        let golden = read(file);
        let (resource, span) = unflatten(&contract, message(&contract, "heartbeat"), &golden);
        let (environment, record) = (
            read::resource(&compiled, &resource),
            read::span(&compiled, &span, &mut |_, _| {}).unwrap(),
        );
        let flat = flatten(&compiled, &environment, &record).unwrap();
        assert_eq!(flat.to_json(), python_form(&golden));
        assert_eq!(keys(&flat.to_json()), keys(&golden));
    }
}

#[test]
fn local_files_have_the_form_of_the_originals() {
    let lines: Vec<String> = read("vllm-usage_stats.jsonl").lines().map(str::to_owned).collect();
    for (line, name) in lines.iter().zip(["report", "heartbeat"]) {
        let (resource, span) = unflatten(&vllm::CURRENT, message(&vllm::CURRENT, name), line);
        let compiled = CompiledContract::new(&vllm::CURRENT).unwrap();
        let (environment, record) = (
            read::resource(&compiled, &resource),
            read::span(&compiled, &span, &mut |_, _| {}).unwrap(),
        );
        assert_eq!(flatten(&compiled, &environment, &record).unwrap().to_json(), *line);
    }

    let mut text = String::new();
    for (file, name) in [
        ("lmcache-v1-env.json", "EnvMessage"),
        ("lmcache-v1-engine.json", "EngineMessage"),
        ("lmcache-v1-metadata.json", "MetadataMessage"),
    ] {
        let (resource, span) = unflatten(&lmcache::V1, message(&lmcache::V1, name), &read(file));
        let compiled = CompiledContract::new(&lmcache::V1).unwrap();
        let (environment, record) = (
            read::resource(&compiled, &resource),
            read::span(&compiled, &span, &mut |_, _| {}).unwrap(),
        );
        text.push_str(&flatten(&compiled, &environment, &record).unwrap().to_text());
    }
    assert_eq!(text, read("lmcache-usage.log"));
}

#[test]
fn sanitizers_keep_only_a_scheme_or_a_placeholder() {
    let operator = Operator::new();
    let records = operator
        .engine(&lmcache::V1)
        .with_instance_id("0d3a1e0f-5c8f-4f7d-9f0c-2b8c6a3b7d41")
        .inspect()
        .unwrap()
        .preview(lmcache::Engine {
            remote_url: Some("redis://user:secret@cache.example.internal:6379".to_owned()),
            model_name: "/home/someone/models/private".to_owned(),
            ..sample::lmcache_engine()
        });
    let engine = records[1].message().unwrap().to_json();
    assert_eq!(engine, python_form(&read("lmcache-v1-engine-sanitized.json")));
}

#[test]
fn the_pipeline_sends_the_keys_of_the_documented_payloads() {
    let operator = Operator::new();
    let vllm = operator.engine(&vllm::V0_4_0).inspect().unwrap().preview(sample::vllm_report());
    let lmcache =
        operator.engine(&lmcache::DOC).inspect().unwrap().preview(sample::lmcache_engine());
    assert_eq!(keys(&vllm[0].message().unwrap().to_json()), keys(&read("vllm-v0.4.0.json")));
    assert_eq!(keys(&lmcache[0].message().unwrap().to_json()), keys(&read("lmcache-doc-env.json")));
}
