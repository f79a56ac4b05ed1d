//! Runs `otel-usage serve` as a process that engines report to.

use std::process::Stdio;

use otel_usage_testing::python::{Originals, SCENARIOS};
use serde_json::Value;

use crate::serve_process::{Serve, about, wait};

#[cfg(target_os = "linux")]
#[test]
fn the_unmodified_originals_report_to_it() {
    let originals = match Originals::wheels() {
        Ok(originals) => originals,
        Err(because) => return otel_usage_testing::skipped(&because),
    };
    let folder = tempfile::tempdir().unwrap();
    let server = Serve::start(folder.path());
    let url = format!("http://{}", server.address);
    for scenario in SCENARIOS {
        let output = originals
            .play(scenario, &url)
            .unwrap()
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    // Maintainers see at once what arrived, the end of the last engine included.
    let expected = [
        ("lmcache/1 CacheLifespanMessage", 3),
        ("lmcache/1 ContinuousContextMessage", 7),
        ("lmcache/1 EngineMessage", 2),
        ("lmcache/1 EnvMessage", 4),
        ("lmcache/1 L1UsageMessage", 4),
        ("lmcache/1 L2ConnectorUsageMessage", 5),
        ("lmcache/1 MPServerMessage", 2),
        ("lmcache/1 MetadataMessage", 2),
        ("vllm/current heartbeat", 3),
        ("vllm/current report", 5),
    ];
    for (message, count) in expected {
        let cells = format!("<td class=\"text\">{message}</td><td>{count}</td>");
        wait(&cells, || server.for_maintainers("/quality").contains(&cells).then_some(()));
    }
    assert!(server.terminate().success());
    let (done, sessions) = about(folder.path(), &["export", "sessions", "--format", "json"]);
    assert!(done, "{sessions}");
    let seen: Vec<String> = sessions
        .lines()
        .map(|line| {
            let of: Value = serde_json::from_str(line).unwrap();
            let version = of["version"].as_str().unwrap_or("-");
            let first =
                of["model_architecture"].as_str().or_else(|| of["deployment_mode"].as_str());
            let lives = if of["beats"].as_u64() > Some(0) { "lives" } else { "started" };
            format!("{} {version} {} {lives}", of["contract"].as_str().unwrap(), first.unwrap())
        })
        .collect();
    assert_eq!(
        seen,
        [
            "vllm/current 0.33.0 LlamaForCausalLM lives",
            "vllm/current 0.33.0 DeepseekV3ForCausalLM started",
            "vllm/current 0.33.0 TransformersForCausalLM(Starcoder2ForCausalLM) started",
            "vllm/current 0.33.0 LlamaForCausalLM started",
            "vllm/current 0.33.0 LlamaForCausalLM lives",
            // Only the server of LMCache reports a version.
            "lmcache/1 - single_process lives",
            "lmcache/1 - single_process lives",
            "lmcache/1 0.5.6 mp_server lives",
            "lmcache/1 0.5.6 mp_server lives",
        ]
    );
}
