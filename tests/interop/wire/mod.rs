//! Runs the unmodified originals and our engines in the same scenarios and compares every byte they
//! post.
//!
//! A scenario is an engine's configuration on a machine with or without devices. A difference fails the
//! test unless `docs/receiver/compatibility.md` lists it. Random values and times are compared by their form.

use std::process::Stdio;
use std::time::Duration;

use otel_usage::Flush;
use otel_usage_testing::compare::{self, Compared, DIFFERENCES, compare};
use otel_usage_testing::python::Originals;
use otel_usage_testing::receiver::{Receiver, Request};
use otel_usage_testing::{scenario, schemas};
use serde_json::Value;

use crate::{Variables, or_skip};

/// The side that runs first in a home and makes the identity of the machine for both.
#[derive(PartialEq)]
enum First {
    Original,
    Ours,
}

/// Plays a scenario on both sides. Returns `None` if the originals cannot be run here.
fn play(name: &str, first: First) -> Option<Vec<Compared>> {
    let originals = or_skip(Originals::wheels())?;
    let text = std::fs::read_to_string(originals.scenario(name)).unwrap();
    let scenario: Value = serde_json::from_str(&text).unwrap();
    // Both sides share a home, because LMCache keeps the machine's identity there and both must send it.
    let home = tempfile::tempdir().unwrap();
    let mut more = vec![("HOME", home.path().to_str().unwrap())];
    let given = scenario["environment"].as_object().unwrap();
    more.extend(given.iter().map(|(key, value)| (key.as_str(), value.as_str().unwrap())));
    let environment = crate::environment(&more);

    let before = (first == First::Ours).then(|| ours(&scenario, environment.clone()));
    let original = theirs(originals, name, &environment);
    let ours = before.unwrap_or_else(|| ours(&scenario, environment));
    // The originals' messages are valid too, except for the fields in which ours differ.
    let valid = |request, excused: &[&str]| {
        let wrong = outside_its_schema(request);
        assert!(wrong.iter().all(|field| excused.contains(&field.as_str())), "{wrong:?}");
    };
    original.iter().for_each(|request| valid(request, &DIFFERENCES.map(|(field, ..)| field)));
    ours.iter().for_each(|request| valid(request, &[]));
    // vLLM and our engine write their messages to the same file here.
    if scenario["engine"] == "vllm" {
        let file = home.path().join(".config/vllm/usage_stats.json");
        let sent = original.iter().chain(&ours).map(|request| request.text() + "\n");
        assert_eq!(std::fs::read_to_string(file).unwrap(), sent.collect::<String>());
    }
    Some(compare(&original, &ours).unwrap())
}

fn theirs(originals: &Originals, name: &str, environment: &Variables) -> Vec<Request> {
    let server = Receiver::start();
    let output = originals
        .play(name, &server.url())
        .unwrap()
        .env_clear()
        .envs(environment.iter().cloned())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    server.requests.try_iter().collect()
}

fn ours(scenario: &Value, environment: Variables) -> Vec<Request> {
    let server = Receiver::start();
    let engine = scenario::Engine::start(scenario, environment, &server.url()).unwrap();
    engine.run();
    let usage = &engine.usage;
    usage.finish_detached();
    let flush = usage.flush(Duration::from_secs(120));
    assert_eq!(flush, Flush::Settled, "{:?}", usage.stats());
    server.requests.try_iter().collect()
}

/// Returns the fields of a request that the generated schema of its message does not allow.
fn outside_its_schema(request: &Request) -> Vec<String> {
    let message: Value = serde_json::from_slice(&request.body).unwrap();
    let (contract, name) = match message["message_type"].as_str() {
        Some(name) => ("lmcache/1", name),
        None if message.get("provider").is_some() => ("vllm/current", "report"),
        // The further keys of an engine's heartbeat are in its own contract.
        None if message.as_object().unwrap().len() > 2 => return Vec::new(),
        None => ("vllm/current", "heartbeat"),
    };
    schemas::wrong_fields(contract, name, &message)
}

/// Fails if a difference is not documented, or if other messages or documented differences appear than
/// these.
fn check(name: &str, messages: &[&str], documented: &[&str]) {
    let Some(compared) = play(name, First::Original) else { return };
    for Compared { message, fields, documented, .. } in &compared {
        println!("{name}: {message}, {fields} fields, as documented: {documented:?}");
    }
    let different: Vec<&Compared> =
        compared.iter().filter(|message| !message.differences.is_empty()).collect();
    assert!(different.is_empty(), "{different:#?}");
    let seen: Vec<&str> = compared.iter().map(|message| message.message.as_str()).collect();
    assert_eq!(seen, messages);
    let excused: Vec<&str> =
        compared.iter().flat_map(|message| message.documented.clone()).collect();
    if !compare::has_accelerator() {
        assert_eq!(excused, documented);
    }
}

#[test]
fn vllm_on_cuda_sends_what_the_original_sends() {
    check("vllm-cuda", &["report", "heartbeat", "heartbeat #2"], &[]);
}

#[test]
fn vllm_on_rocm_sends_what_the_original_sends() {
    check("vllm-rocm", &["report"], &[]);
}

#[test]
fn vllm_on_xpu_sends_what_the_original_sends() {
    check("vllm-xpu", &["report"], &[]);
}

#[test]
fn vllm_on_tpu_sends_what_the_original_sends() {
    check("vllm-tpu", &["report"], &[]);
}

#[test]
fn vllm_on_cpu_sends_what_the_original_sends() {
    check("vllm-cpu", &["report", "heartbeat"], &[]);
}

const SINGLE: [&str; 3] = ["EnvMessage", "EngineMessage", "MetadataMessage"];
const INTERVAL: [&str; 2] = ["ContinuousContextMessage", "CacheLifespanMessage"];

#[test]
fn lmcache_in_an_engine_sends_what_the_original_sends() {
    let idle = ["ContinuousContextMessage #2", "CacheLifespanMessage #2"];
    check("lmcache-single", &[&SINGLE[..], &INTERVAL, &idle].concat(), &[]);
}

#[test]
fn lmcache_with_a_remote_backend_hides_host_and_private_model() {
    let documented = ["remote_url", "model_name"];
    check("lmcache-remote", &[&SINGLE[..], &INTERVAL].concat(), &documented);
}

#[test]
fn lmcache_server_sends_what_the_original_sends() {
    check(
        "lmcache-mp",
        &[
            "EnvMessage",
            "MPServerMessage",
            "ContinuousContextMessage",
            "L2ConnectorUsageMessage fs",
            "L2ConnectorUsageMessage nixl_store",
            "L1UsageMessage",
            "ContinuousContextMessage #2",
            "L2ConnectorUsageMessage fs #2",
            "L2ConnectorUsageMessage nixl_store #2",
            "L1UsageMessage #2",
            // At the end of the server, the reporter that began last sends first.
            "L1UsageMessage #3",
            "L2ConnectorUsageMessage fs #3",
            "ContinuousContextMessage #3",
        ],
        &[],
    );
}

#[test]
fn lmcache_server_without_a_second_level_sends_what_the_original_sends() {
    let messages = ["EnvMessage", "MPServerMessage", "L1UsageMessage", "ContinuousContextMessage"];
    check("lmcache-mp-idle", &messages, &[]);
}

#[test]
fn the_original_finds_the_machine_id_that_we_made() {
    let Some(compared) = play("lmcache-mp-idle", First::Ours) else { return };
    assert!(compared.iter().all(|message| message.differences.is_empty()), "{compared:#?}");
}

#[test]
fn a_server_elsewhere_is_refused() {
    let Some(originals) = or_skip(Originals::wheels()) else { return };
    // An address for documentation, which no machine has.
    let elsewhere = "http://192.0.2.1:8080";
    for scenario in ["vllm-rocm", "lmcache-mp"] {
        let output = originals.play(scenario, elsewhere).unwrap().output().unwrap();
        assert!(!output.status.success());
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("is not on this machine"), "{text}");
    }
    let text = std::fs::read_to_string(originals.scenario("vllm-rocm")).unwrap();
    let scenario: Value = serde_json::from_str(&text).unwrap();
    let home = tempfile::tempdir().unwrap();
    let environment = crate::environment(&[("HOME", home.path().to_str().unwrap())]);
    let engine = scenario::Engine::start(&scenario, environment, elsewhere).unwrap();
    let stats = engine.usage.stats();
    assert!(stats.exporters.iter().all(|exporter| exporter.name != "server"), "{stats:?}");
}

#[test]
fn every_difference_is_documented() {
    let documented = include_str!("../../../docs/receiver/compatibility.md");
    for (field, _, line) in DIFFERENCES {
        assert!(documented.contains(line), "{field}: {line}");
    }
}
