//! Compares the library with the Python originals on this machine, field by field.
//!
//! A field that differs fails the test unless `docs/receiver/compatibility.md` lists the difference. `wire/`
//! compares whole messages with those of the originals themselves, `sysinfo.rs` compares the same facts
//! with another crate.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test: it starts Python, and hands this process's environment to it"
)]

mod sysinfo;
mod wire;

use std::path::Path;

use otel_usage::Usage;
use otel_usage::export::ExportRecord;
use otel_usage::schema::{lmcache, vllm};
use otel_usage::settings::Env;
use otel_usage_testing::compare::has_accelerator;
use otel_usage_testing::python::Originals;
use serde_json::{Map, Value};

/// Fields that may differ, the condition, and the line of the document that allows it.
///
/// We see an accelerator through its driver and the originals see it through torch, which is not a part of
/// this comparison. So the originals run as on a machine without accelerators.
const DIFFERENCES: [Difference; 7] = [
    ("vllm", "gpu_count", has_accelerator, GPU),
    ("vllm", "gpu_type", has_accelerator, GPU),
    ("vllm", "gpu_memory_per_device", has_accelerator, GPU),
    ("lmcache", "gpu_count", has_accelerator, GPU),
    ("lmcache", "gpu_type", has_accelerator, GPU),
    ("lmcache", "gpu_memory_per_device", has_accelerator, GPU),
    ("lmcache", "gpu_type", always, "| LMCache `gpu_type` without accelerator |"),
];

/// Engine, field, condition, line.
type Difference = (&'static str, &'static str, fn() -> bool, &'static str);

const GPU: &str = "| `gpu_*`, `cuda_runtime` |";

type Variables = Vec<(String, String)>;

fn always() -> bool {
    true
}

/// Returns this process's environment with `more` in place of the variables on which the rules depend.
fn environment(more: &[(&str, &str)]) -> Variables {
    const RULED: [&str; 5] =
        ["RUNPOD_DC_ID", "VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "VLLM_USAGE_SOURCE"];
    std::env::vars()
        .filter(|(name, _)| !RULED.contains(&name.as_str()))
        .filter(|(name, _)| more.iter().all(|(other, _)| name != other))
        .chain(more.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())))
        .collect()
}

/// Returns the fields of the first message that the library would send.
fn fields(records: &[ExportRecord]) -> Map<String, Value> {
    let text = records.first().unwrap().message().unwrap().to_json();
    serde_json::from_str(&text).unwrap()
}

/// Returns the value of `found`. On an error it prints one line with the reason, and fails under CI.
fn or_skip<T>(found: Result<T, String>) -> Option<T> {
    found.map_err(|because| otel_usage_testing::skipped(&because)).ok()
}

/// Returns the output of `originals.py` in this environment.
fn rules(environment: &Variables) -> Option<Value> {
    let mut script = or_skip(Originals::packages())?.script("originals.py");
    let output = script.env_clear().envs(environment.iter().cloned()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// Compares the library's messages in this environment with those of the originals, and returns them for
/// both engines. Returns `None` if the originals cannot be run here.
fn compare(environment: &Variables) -> Option<[Map<String, Value>; 2]> {
    let originals = rules(environment)?;
    let given = || Env::given(environment.iter().cloned());
    let engine = Usage::builder(&vllm::CURRENT).with_environment(given());
    let vllm = fields(&engine.inspect().unwrap().preview(vllm::Report::default()));
    let engine = Usage::builder(&lmcache::V1).with_environment(given());
    let lmcache = fields(&engine.inspect().unwrap().preview(lmcache::Engine::default()));

    let documented = include_str!("../../docs/receiver/compatibility.md");
    let mut differences = Vec::new();
    for (engine, ours) in [("vllm", &vllm), ("lmcache", &lmcache)] {
        let theirs = originals[engine].as_object().unwrap();
        assert!(theirs.len() >= 11, "{theirs:?}");
        for (field, value) in theirs {
            if ours.get(field) == Some(value) {
                continue;
            }
            let excuse = DIFFERENCES.iter().find(|(of, name, applies, line)| {
                (*of, *name) == (engine, field) && applies() && documented.contains(line)
            });
            let line = format!("{engine} {field}: original {value}, ours {:?}", ours.get(field));
            match excuse {
                Some((.., because)) => println!("{line}: {because}"),
                None => differences.push(line),
            }
        }
    }
    assert!(differences.is_empty(), "{differences:#?}");
    Some([vllm, lmcache])
}

#[test]
fn facts_equal_the_originals_on_this_machine() {
    let all: Variables = std::env::vars().collect();
    compare(&all);
    compare(&environment(&[("VLLM_USAGE_SOURCE", "production-docker-image")]));
}

#[test]
fn facts_equal_the_originals_without_the_program_file_and_at_runpod() {
    // The programs that the packages run, but not `file`.
    let folder = tempfile::tempdir().unwrap();
    let path = std::env::var("PATH").unwrap();
    for program in ["cat", "dmesg", "ldconfig", "lscpu", "sh", "sysctl", "uname"] {
        let found = path.split(':').map(|folder| Path::new(folder).join(program));
        if let Some(original) = found.into_iter().find(|path| path.exists()) {
            std::os::unix::fs::symlink(original, folder.path().join(program)).unwrap();
        }
    }
    let path = folder.path().to_str().unwrap();
    let Some([vllm, lmcache]) =
        compare(&environment(&[("PATH", path), ("RUNPOD_DC_ID", "US-KS-2")]))
    else {
        return;
    };
    assert_eq!(lmcache["architecture"], serde_json::json!(["64bit", ""]));
    // A cloud that the firmware names goes first.
    assert_eq!(vllm["provider"], lmcache["provider"]);
    assert_ne!(vllm["provider"], "UNKNOWN");
}

#[test]
fn facts_equal_the_originals_if_installed_by_pip() {
    let folder = tempfile::tempdir().unwrap();
    let packages = folder.path().join("lib/python3.12/site-packages");
    let metadata = packages.join("lmcache-0.5.6.dist-info");
    std::fs::create_dir_all(&metadata).unwrap();
    std::fs::write(metadata.join("METADATA"), "Metadata-Version: 2.1\nName: lmcache\n").unwrap();
    let environment = environment(&[
        ("VIRTUAL_ENV", folder.path().to_str().unwrap()),
        ("PYTHONPATH", packages.to_str().unwrap()),
    ]);
    if let Some([_, lmcache]) = compare(&environment) {
        assert!(["PIP", "DOCKER"].contains(&lmcache["source"].as_str().unwrap()));
    }
}

#[test]
fn every_difference_is_documented() {
    let documented = include_str!("../../docs/receiver/compatibility.md");
    for (_, field, _, line) in DIFFERENCES {
        assert!(documented.contains(line), "{field}: {line}");
    }
}
