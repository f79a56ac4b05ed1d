//! Files that are made from the contracts, and checked in.
//!
//! In: the command `otel-usage`, built from this checkout. Out: the files, or with `--check` the names of
//! those that differ from what the contracts say now.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

use crate::tools;

/// Folders that hold nothing but generated files: what is no longer made is removed.
const FOLDERS: [&str; 3] = ["docs/schema", "otel-collector/clickhouse", "cli/completions"];

/// A file, and what the command is asked for it.
const FILES: [(&str, &[&str]); 5] = [
    ("docs/fields.md", &["schema", "--format", "markdown"]),
    ("otel-collector/allow-list.yaml", &["schema", "--format", "collector"]),
    ("cli/completions/otel-usage.bash", &["completions", "bash"]),
    ("cli/completions/otel-usage.fish", &["completions", "fish"]),
    ("cli/completions/_otel-usage", &["completions", "zsh"]),
];

/// A folder of files, one a message or a contract.
const TREES: [(&str, &str); 2] =
    [("docs/schema", "json-schema"), ("otel-collector/clickhouse", "clickhouse")];

pub(crate) fn run(check: bool) -> anyhow::Result<()> {
    let root = tools::root()?;
    let made = make(root)?;
    let mut differ = Vec::new();
    for (path, text) in &made {
        if std::fs::read_to_string(root.join(path)).ok().as_deref() != Some(text) {
            differ.push(path.clone());
        }
    }
    let stale = stale(root, &made)?;
    if check {
        differ.extend(stale);
        ensure!(
            differ.is_empty(),
            "differ from the contracts: {}; run `cargo xtask generate`",
            differ.join(", ")
        );
        println!("{} generated files are what the contracts say", made.len());
        return Ok(());
    }
    for path in stale {
        std::fs::remove_file(root.join(path))?;
    }
    for path in &differ {
        let file = root.join(path);
        std::fs::create_dir_all(file.parent().context("a folder")?)?;
        std::fs::write(&file, &made[path])?;
        println!("{path}");
    }
    Ok(())
}

/// Every generated file with its text.
fn make(root: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let ask = |arguments: &[&str]| -> anyhow::Result<String> {
        let output = tools::cargo(root)
            .args(["run", "--quiet", "--locked", "--package", "otel-usage-cli", "--"])
            .args(arguments)
            .output()?;
        if !output.status.success() {
            bail!("{}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    };
    let mut made = BTreeMap::new();
    for (path, arguments) in FILES {
        made.insert(path.to_owned(), ask(arguments)?);
    }
    for (folder, format) in TREES {
        let out = tempfile::tempdir()?;
        let path = out.path().to_str().context("a path that is text")?;
        ask(&["schema", "--format", format, "--out", path])?;
        for file in files(out.path())? {
            let below = file.strip_prefix(out.path())?.display();
            made.insert(format!("{folder}/{below}"), std::fs::read_to_string(&file)?);
        }
    }
    Ok(made)
}

/// Files in the generated folders that are no longer made.
fn stale(root: &Path, made: &BTreeMap<String, String>) -> anyhow::Result<Vec<String>> {
    let mut stale = Vec::new();
    for folder in FOLDERS {
        if !root.join(folder).exists() {
            continue;
        }
        for file in files(&root.join(folder))? {
            let path = file.strip_prefix(root)?.display().to_string();
            if !made.contains_key(&path) {
                stale.push(path);
            }
        }
    }
    Ok(stale)
}

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    Ok(found)
}
