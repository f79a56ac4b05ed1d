//! Checks invariants of `ARCHITECTURE.md` that neither the compiler nor a lint can hold.

use std::path::{Path, PathBuf};

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
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let line = line.to_lowercase();
            assert!(!line.contains("vllm") && !line.contains("lmcache"), "{shown}: {line}");
        }
    }
}
