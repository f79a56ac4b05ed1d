//! Runs `otel-usage serve` as a process that engines report to.

use std::collections::BTreeSet;
use std::process::Stdio;

use otel_usage_testing::python::Originals;

use crate::serve_process::{Serve, about};

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
    for scenario in ["vllm-cuda", "lmcache-single", "lmcache-mp"] {
        let output = originals
            .play(scenario, &url)
            .unwrap()
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(server.terminate().success());
    let (_, messages) = about(folder.path(), &["export", "messages", "--format", "json"]);
    let mut seen = BTreeSet::new();
    for line in messages.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        seen.insert(format!("{} {}", line["contract"], line["message"]).replace('"', ""));
    }
    let expected = [
        "lmcache/1 CacheLifespanMessage",
        "lmcache/1 ContinuousContextMessage",
        "lmcache/1 EngineMessage",
        "lmcache/1 EnvMessage",
        "lmcache/1 L1UsageMessage",
        "lmcache/1 L2ConnectorUsageMessage",
        "lmcache/1 MPServerMessage",
        "lmcache/1 MetadataMessage",
        "vllm/current heartbeat",
        "vllm/current report",
    ];
    assert_eq!(seen, expected.map(str::to_owned).into());
}
