//! Tests `otel-usage schema` and `preview --explain` for built-in contracts and one from a file.

use std::path::PathBuf;

use otel_usage::Contract;
use otel_usage::schema::{Field, MessageSpec, OffWhen, Sanitizer, Trigger, Type, resource};
use serde_json::Value;

use crate::shell::Shell;

/// Writes the contract of an unknown engine as a file into the shell's home.
fn third(shell: &Shell) -> PathBuf {
    let layers = Field::record("layers", Type::Int, "third.layers", "Layers of the model.")
        .in_unit("{layer}")
        .example(otel_usage::schema::Literal::Int(32));
    let remote = Field::record("remote", Type::Str, "third.remote", "Where the cache lives.")
        .sanitized(&[Sanitizer::SchemeOnly])
        .example(otel_usage::schema::Literal::text("redis://user:secret@host:1"));
    let mut report = MessageSpec::new("report", "third.report", Trigger::Record)
        .with_header(resource::FIELDS)
        .at("v1/third");
    report.fields.to_mut().extend([layers, remote]);
    let contract = Contract::new("third/1", "third")
        .with_server("http://127.0.0.1:9")
        .with_switch("THIRD_NO_USAGE", OffWhen::Present)
        .with_message(report);
    let path = shell.home().join("third.json");
    std::fs::write(&path, contract.to_json()).unwrap();
    path
}

#[test]
fn an_engine_from_a_file_is_previewed_like_a_built_in_one() {
    let shell = Shell::new();
    let file = third(&shell);
    let file = file.display();
    let ran = shell.run(&format!("preview --contract-file {file} --json"));
    assert_eq!(ran.code, 0, "{}", ran.err);
    let report: Value = serde_json::from_str(ran.out.trim()).unwrap();
    assert_eq!(report["layers"], 32);
    assert_eq!(report["remote"], "redis://");
    assert!(report["cpu_count"].as_i64().unwrap() > 0);

    let ran = shell.run(&format!("preview --contract-file {file} --explain"));
    for words in ["Layers of the model.", "record `third.remote`", "scheme_only", "machine"] {
        assert!(ran.out.contains(words), "{}", ran.out);
    }
    assert!(!ran.out.contains("secret"));
    // Its own switch works, and its server is named.
    let ran = shell.run(&format!("preview --contract-file {file}"));
    assert!(ran.out.contains("POST http://127.0.0.1:9/v1/third  report"), "{}", ran.out);
    let off = Shell::new().with("THIRD_NO_USAGE", "");
    let ran = off.run(&format!("preview --contract-file {file}"));
    assert!(ran.out.contains("not sent: collection is off"), "{}", ran.out);
}

#[test]
fn every_output_format_has_every_field() {
    let shell = Shell::new();
    let file = third(&shell);
    for (format, words) in [
        ("markdown", ["`layers`", "Layers of the model.", "THIRD_NO_USAGE"]),
        ("json-schema", ["\"layers\"", "\"remote\"", "additionalProperties"]),
        ("clickhouse", ["usage_third_1_report", "`layers` Nullable(Int64)", "'third.remote'"]),
        ("collector", ["- third.layers", "- third.remote", "- otel_usage.contract"]),
        ("contract", ["third.layers", "scheme_only", "\"format\": 1"]),
    ] {
        let ran =
            shell.run(&format!("schema --contract-file {} --format {format}", file.display()));
        assert_eq!(ran.code, 0, "{}", ran.err);
        for word in words {
            assert!(ran.out.contains(word), "{format} {word}: {}", ran.out);
        }
    }
}

#[test]
fn a_printed_contract_can_be_read_back() {
    let shell = Shell::new();
    for contract in Contract::built_in() {
        let ran = shell.run(&format!("schema --contract {} --format contract", contract.id));
        assert_eq!(&Contract::from_json(&ran.out).unwrap(), contract);
    }
}

#[test]
fn a_difference_sets_the_exit_code() {
    let shell = Shell::new();
    let same = shell.run("schema diff vllm/current vllm/current");
    assert_eq!((same.code, same.err.as_str()), (0, ""));
    assert!(same.out.contains("nothing that is sent differs"), "{}", same.out);
    let less = shell.run("schema diff vllm/current vllm/0.4.0");
    assert_eq!(less.code, 0, "{}", less.out);
    assert!(less.out.contains("`cuda_runtime` is no longer sent"), "{}", less.out);
    let more = shell.run("schema diff vllm/0.4.0 vllm/current");
    assert_eq!(more.code, 6, "{}", more.out);
    assert!(more.out.contains("! report `kv_connector` is new"), "{}", more.out);
    assert!(more.out.contains("+ report `num_experts` is new"), "{}", more.out);
}

#[test]
fn mistakes_name_the_thing_and_the_remedy() {
    let shell = Shell::new();
    let damaged = shell.home().join("damaged.json");
    std::fs::write(&damaged, "{\"format\": 9, \"contract\": {}}").unwrap();
    let damaged = damaged.display();
    for (line, words) in [
        ("schema --contract-file /no/such".to_owned(), ["/no/such", "cannot be read"]),
        (format!("schema --contract-file {damaged}"), ["format 9", "Contract::to_json"]),
        (format!("preview --contract-file {damaged}"), ["format 9", "Contract::to_json"]),
        ("schema --format contract".to_owned(), ["--contract", "one contract"]),
        ("schema --format markdown --out /tmp".to_owned(), ["--out", "markdown"]),
        ("schema diff vllm/current no/such".to_owned(), ["no/such", "cannot be read"]),
    ] {
        let ran = shell.run(&line);
        assert_eq!(ran.code, 1, "{line}");
        assert_eq!(ran.err.trim().lines().count(), 1, "{}", ran.err);
        for word in words {
            assert!(ran.err.contains(word), "{line}: {}", ran.err);
        }
    }
}

#[test]
fn every_value_of_a_built_in_contract_is_explained() {
    let shell = Shell::new();
    for name in ["vllm", "lmcache", "lmcache-mp", "lmcache-interval", "lmcache-legacy"] {
        let ran = shell.run(&format!("preview --contract {name} --explain"));
        let values =
            ran.out.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        let meanings = ran.out.lines().filter(|line| line.starts_with("      ")).count();
        assert_eq!(values.count(), meanings, "{name}");
        assert!(meanings > 15, "{name}");
        assert!(!ran.out.contains("cache.example.internal"), "{name}");
    }
}
