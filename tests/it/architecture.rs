//! Checks invariants of `ARCHITECTURE.md`: the crate graph, by `cargo tree`, and names in the code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the names of the crates that this package links, except its own.
#[expect(clippy::disallowed_methods, reason = "a test of the build asks cargo")]
fn linked(package: &str, options: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(otel_usage_testing::root())
        .args(["tree", "--locked", "--offline", "--package", package])
        .args(["--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(options)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != package).map(str::to_owned).collect()
}

fn assert_without(package: &str, options: &[&str], forbidden: &[&str]) {
    let linked = linked(package, options);
    assert!(!linked.is_empty(), "cargo names no dependency of {package}");
    let found: Vec<_> = forbidden.iter().filter(|name| linked.contains(**name)).collect();
    assert!(found.is_empty(), "{package} links {found:?}");
}

#[test]
fn schema_has_no_clock_randomness_thread_or_input() {
    const FORBIDDEN: [&str; 24] = [
        "async-std",
        "backon",
        "chrono",
        "fastrand",
        "futures-executor",
        "getrandom",
        "hyper",
        "libc",
        "mio",
        "nix",
        "nvml-wrapper",
        "opentelemetry_sdk",
        "otel-usage",
        "rand",
        "reqwest",
        "rustix",
        "socket2",
        "sysinfo",
        "tempfile",
        "time",
        "tokio",
        "tracing",
        "ureq",
        "windows-sys",
    ];
    for options in [&[][..], &["--all-features"]] {
        assert_without("otel-usage-schema", options, &FORBIDDEN);
    }
}

#[test]
fn bridge_has_no_probe() {
    let probe = ["libloading", "nvml-wrapper", "otel-usage", "sysinfo"];
    assert_without("otel-usage-bridge", &[], &probe);
}

#[test]
fn macros_use_no_other_crate_of_the_repository() {
    assert_without("otel-usage-macros", &[], &["otel-usage", "otel-usage-schema", "opentelemetry"]);
}

#[test]
fn command_without_bridge_has_no_asynchronous_runtime() {
    let runtime = ["hyper", "mio", "otel-usage-bridge", "reqwest", "tokio", "tonic"];
    assert_without("otel-usage-cli", &["--no-default-features"], &runtime);
}

#[test]
fn library_uses_neither_bridge_nor_asynchronous_runtime() {
    let runtime =
        ["hyper", "mio", "otel-usage-bridge", "otel-usage-testing", "reqwest", "tokio", "tonic"];
    assert_without("otel-usage", &["--all-features"], &runtime);
}

/// Adds every Rust file of a folder and below it.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_engine_is_named_in_generic_code() {
    // The install source is a fact about LMCache's package.
    let exceptions = ["detectors/facts.rs", "detectors/install_source.rs", "detectors/recording/"];
    let mut files = Vec::new();
    sources(&otel_usage_testing::root().join("src"), &mut files);
    assert!(files.len() > 50, "{files:?}");
    for file in files {
        let shown = file.to_str().unwrap();
        if shown.ends_with("machines.rs") || exceptions.iter().any(|one| shown.contains(one)) {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("mod tests {").next().unwrap_or_default();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let line = line.to_lowercase();
            assert!(!line.contains("vllm") && !line.contains("lmcache"), "{shown}: {line}");
        }
    }
}
