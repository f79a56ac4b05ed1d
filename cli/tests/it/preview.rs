//! Tests `otel-usage preview`: exact payloads with any switch, and no side effect.

use std::collections::BTreeSet;
use std::io;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use otel_usage::Contract;
use otel_usage::schema::{RESOURCE_ATTRIBUTES, Source, lmcache, transport, vllm};
use otel_usage_testing::json::keys;

use crate::shell::Shell;

/// Every name that `--contract` accepts.
const NAMES: [&str; 18] = [
    "vllm",
    "vllm/current",
    "vllm-heartbeat",
    "vllm-0.11",
    "vllm/0.11",
    "vllm-0.7",
    "vllm/0.7",
    "vllm-0.4.0",
    "vllm/0.4.0",
    "lmcache",
    "lmcache/1",
    "lmcache-doc",
    "lmcache/doc",
    "lmcache-mp",
    "lmcache-legacy",
    "lmcache/legacy",
    "lmcache-interval",
    "lmcache-mp-interval",
];

/// The keys of vLLM's start message, in their order.
const VLLM_KEYS: [&str; 45] = [
    "uuid",
    "provider",
    "num_cpu",
    "cpu_type",
    "cpu_family_model_stepping",
    "total_memory",
    "architecture",
    "platform",
    "xpu_runtime",
    "cuda_runtime",
    "gpu_count",
    "gpu_type",
    "gpu_memory_per_device",
    "env_var_json",
    "model_architecture",
    "vllm_version",
    "context",
    "log_time",
    "source",
    "dtype",
    "block_size",
    "gpu_memory_utilization",
    "kv_cache_memory_bytes",
    "quantization",
    "kv_cache_dtype",
    "enable_lora",
    "enable_prefix_caching",
    "enforce_eager",
    "disable_custom_all_reduce",
    "tensor_parallel_size",
    "data_parallel_size",
    "pipeline_parallel_size",
    "enable_expert_parallel",
    "all2all_backend",
    "kv_connector",
    "max_model_len",
    "max_num_seqs",
    "max_num_batched_tokens",
    "attention_backend",
    "compilation_mode",
    "spec_decode_method",
    "num_speculative_tokens",
    "enable_eplb",
    "num_redundant_experts",
    "num_experts",
];

#[test]
fn vllm_has_the_golden_keys_in_their_order() {
    let ran = Shell::new().run("preview --contract vllm --json");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.out.lines().count(), 1);
    assert_eq!(keys(&ran.out), VLLM_KEYS);
    let report = &ran.json_lines()[0];
    assert_eq!(report.as_object().unwrap().len(), VLLM_KEYS.len());
    assert_eq!(report["vllm_version"], "0.33.0");
    assert!(report["num_cpu"].as_i64().unwrap() > 0, "the machine's own CPUs");
}

#[test]
fn messages_are_shown_in_the_order_they_are_sent() {
    let types = |name: &str| -> Vec<String> {
        let ran = Shell::new().run(&format!("preview --contract {name} --json"));
        let lines = ran.json_lines();
        lines.iter().map(|line| line["message_type"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(types("lmcache"), ["EnvMessage", "EngineMessage", "MetadataMessage"]);
    assert_eq!(types("lmcache-doc"), ["EnvMessage", "EngineMessage", "MetadataMessage"]);
    assert_eq!(types("lmcache-mp"), ["EnvMessage", "MPServerMessage"]);
    let beat = Shell::new().run("preview --contract vllm-heartbeat --json");
    assert_eq!(keys(&beat.out), ["uuid", "log_time"]);
}

#[test]
fn a_missing_or_wrong_contract_is_a_usage_error() {
    for line in [
        "preview --contract",
        "preview --contract vlm",
        "preview --contract vllm --json --otlp",
        "prevew",
    ] {
        let ran = Shell::new().run(line);
        assert_eq!(ran.code, 2, "{line}");
        assert!(ran.out.is_empty() && ran.err.starts_with("error: "), "{ran:?}");
    }
}

#[test]
fn nothing_is_written_and_the_switches_are_named() {
    let shells = [
        (Shell::new(), None),
        (
            Shell::new().with("DO_NOT_TRACK", "1"),
            Some("collection is off (environment variable DO_NOT_TRACK)"),
        ),
        (Shell::new().with("CI", "true"), Some("collection is local (environment variable CI")),
    ];
    for (shell, said) in &shells {
        for name in NAMES {
            for form in ["", "--json", "--otlp"] {
                let ran = shell.run(&format!("preview --contract {name} {form}"));
                assert_eq!(ran.code, 0, "{name}: {}", ran.err);
                assert!(!ran.out.is_empty(), "{name}");
                assert_eq!(
                    ran.err.lines().filter(|line| line.contains("sample engine")).count(),
                    1
                );
                assert_eq!(ran.err.contains("collection is"), said.is_some());
                assert!(ran.err.contains(said.unwrap_or_default()), "{}", ran.err);
                if form.is_empty() {
                    assert_eq!(ran.out.contains("POST http"), said.is_none(), "{}", ran.out);
                    assert_eq!(ran.out.contains("not sent: collection is"), said.is_some());
                }
            }
        }
        assert_eq!(shell.files(), Vec::<std::path::PathBuf>::new());
    }
}

#[test]
fn headings_name_the_destinations() {
    let lines = |shell: Shell, name: &str| shell.run(&format!("preview --contract {name}")).out;
    assert!(
        lines(Shell::new(), "vllm")
            .starts_with("POST https://stats.vllm.ai/  report\n{\n  \"uuid\": ")
    );
    let text = lines(Shell::new(), "lmcache");
    assert!(
        text.contains("\nPOST http://stats.lmcache.ai:8080/context  EngineMessage\n"),
        "{text}"
    );
    let rerouted = Shell::new()
        .with("VLLM_USAGE_STATS_SERVER", "https://me:hunter2@usage.example/in/?key=hunter3");
    let ran = rerouted.run("preview --contract vllm");
    assert!(ran.out.starts_with("POST https://usage.example/in/  report\n"), "{}", ran.out);
    assert!(!format!("{ran:?}").contains("hunter"), "{ran:?}");
    let file_only = Shell::new().with("OTEL_USAGE_EXPORTERS", "file");
    assert!(lines(file_only, "vllm").starts_with("not sent: there is no usage server  report\n"));
}

#[test]
fn otlp_decodes_and_carries_declared_attributes_only() {
    let contracts: [(&str, &Contract); 8] = [
        ("vllm", &vllm::CURRENT),
        ("vllm-heartbeat", &vllm::CURRENT),
        ("vllm-0.11", &vllm::V0_11),
        ("vllm-0.7", &vllm::V0_7),
        ("vllm-0.4.0", &vllm::V0_4_0),
        ("lmcache", &lmcache::V1),
        ("lmcache-doc", &lmcache::DOC),
        ("lmcache-mp", &lmcache::V1),
    ];
    for (name, contract) in contracts {
        let ran = Shell::new().run(&format!("preview --contract {name} --otlp"));
        let declared = contract.attributes.iter().chain(RESOURCE_ATTRIBUTES);
        let on_resource: BTreeSet<&str> = declared.map(|one| one.name.as_ref()).collect();
        let mut kinds = Vec::new();
        for line in ran.out.lines() {
            let request: ExportTraceServiceRequest = serde_json::from_str(line).unwrap();
            let [resource_spans] = &request.resource_spans[..] else { panic!("{line}") };
            let [scope_spans] = &resource_spans.scope_spans[..] else { panic!("{line}") };
            let [span] = &scope_spans.spans[..] else { panic!("{line}") };
            assert_eq!(scope_spans.scope.as_ref().unwrap().name, "otel_usage");
            declared_only(&resource_spans.resource.as_ref().unwrap().attributes, &on_resource);
            declared_only(&span.attributes, &on_span(contract, &span.name));
            assert!(span.events.is_empty());
            kinds.push(span.name.clone());
        }
        // The last one is the span of the run, for which flat JSON has no message.
        assert_eq!(kinds.last().unwrap() == transport::RUN, name != "vllm-heartbeat", "{kinds:?}");
        assert!(kinds.len() > 1 || name == "vllm-heartbeat");
    }
}

fn on_span<'a>(contract: &'a Contract, kind: &str) -> BTreeSet<&'a str> {
    let fields = contract
        .messages
        .iter()
        .filter(|spec| spec.record == kind)
        .flat_map(|spec| spec.fields.iter());
    let mut names: BTreeSet<&str> = fields
        .filter_map(|field| match &field.source {
            Source::Record(name) => Some(name.as_ref()),
            _ => None,
        })
        .collect();
    names.extend([
        transport::CONTRACT,
        transport::RECORD_KIND,
        transport::RECORD_ID,
        transport::DELIVERY,
    ]);
    names
}

fn declared_only(attributes: &[KeyValue], declared: &BTreeSet<&str>) {
    assert!(!attributes.is_empty());
    for attribute in attributes {
        assert!(declared.contains(attribute.key.as_str()), "{} is not declared", attribute.key);
    }
}

#[test]
fn a_closed_pipe_is_not_a_failure() {
    for line in ["preview --contract vllm", "status", "--help", ""] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let ran = Shell::new().run_into(line, writer);
        assert_eq!(ran.code, 0, "{line}: {ran:?}");
        assert!(!ran.err.contains("panic") && !ran.err.contains("ipe"), "{ran:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_gives_one_line_of_error() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let ran = Shell::new().run_into("status", full);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    assert!(ran.err.starts_with("otel-usage: standard output: "), "{}", ran.err);
}

#[test]
fn the_command_alone_names_its_main_commands() {
    let ran = Shell::new().run("");
    assert_eq!(ran.code, 0);
    for command in ["otel-usage preview", "otel-usage status", "otel-usage off"] {
        assert!(ran.out.contains(command), "{}", ran.out);
    }
    let version = Shell::new().run("--version");
    assert_eq!(version.out.trim(), format!("otel-usage {}", env!("CARGO_PKG_VERSION")));
}
