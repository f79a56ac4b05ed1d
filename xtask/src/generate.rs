//! Writes the files that follow from the contracts, by the command `otel-usage` of this checkout, and the
//! table of Arm's processors.
//!
//! They are checked in, so that a change of a contract shows as a change of its documentation and its tables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use otel_usage_schema::Contract;

use crate::{arm, classes, tools};

/// Folders of generated files only. A file in them that is no longer made is removed.
const FOLDERS: [&str; 2] = ["docs/receiver/schema", "otel-collector/clickhouse"];

/// Each file and the arguments of `otel-usage` that print it.
const FILES: [(&str, &[&str]); 2] = [
    ("docs/receiver/fields.md", &["schema", "--format", "markdown"]),
    ("otel-collector/allow-list.yaml", &["schema", "--format", "collector"]),
];

/// Configurations that contain the names of [`ALLOWED`] between the lines [`BEGIN`] and [`END`].
const CONFIGURATIONS: &str = "otel-collector/config";
const ALLOWED: &str = "otel-collector/allow-list.yaml";
const BEGIN: &str = "# Begin of the allow-list, generated from the contracts.\n";
const END: &str = "      # End of the allow-list.\n";

/// Each folder with one file for each message or contract, and the format that `otel-usage schema` writes.
const TREES: [(&str, &str); 2] =
    [("docs/receiver/schema", "json-schema"), ("otel-collector/clickhouse", "clickhouse")];

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
            "differ from what they are made of: {}; run `cargo xtask generate`",
            differ.join(", ")
        );
        let unnamed = unnamed(root)?;
        ensure!(unnamed.is_empty(), "{}", unnamed.join("\n"));
        println!("{} generated files agree with what they are made of", made.len());
        return Ok(());
    }
    for path in stale {
        std::fs::remove_file(root.join(path))?;
    }
    for path in &differ {
        let file = root.join(path);
        std::fs::create_dir_all(file.parent().context("a generated file has a folder")?)?;
        std::fs::write(&file, made.get(path).context("a differing file was made")?)?;
        println!("{path}");
    }
    for line in unnamed(root)? {
        println!("{line}");
    }
    Ok(())
}

/// Returns a line for each data class of which the changelog does not say that it is sent.
fn unnamed(root: &Path) -> anyhow::Result<Vec<String>> {
    let changelog = std::fs::read_to_string(root.join("CHANGELOG.md"))?;
    Ok(classes::unnamed(Contract::built_in(), &changelog))
}

/// Returns the path and text of every generated file.
fn make(root: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let command = tools::otel_usage(root, false)?;
    let ask = |arguments: &[&str]| tools::output(Command::new(&command).args(arguments));
    let mut made = BTreeMap::new();
    for (path, arguments) in FILES {
        made.insert(path.to_owned(), ask(arguments)?);
    }
    for (folder, format) in TREES {
        let out = tempfile::tempdir()?;
        let path = out.path().to_str().context("the temporary folder is not UTF-8")?;
        ask(&["schema", "--format", format, "--out", path])?;
        for file in files(out.path())? {
            let below = file.strip_prefix(out.path())?.display();
            made.insert(format!("{folder}/{below}"), std::fs::read_to_string(&file)?);
        }
    }
    made.insert(arm::TABLE.to_owned(), arm::table(root)?);
    let list = made.get(ALLOWED).cloned().unwrap_or_default();
    for file in files(&root.join(CONFIGURATIONS))? {
        let text = std::fs::read_to_string(&file)?;
        if let Some(text) = with_list(&text, &list) {
            made.insert(file.strip_prefix(root)?.display().to_string(), text);
        }
    }
    Ok(made)
}

/// Returns a configuration with the names of `list`, or `None` for one without an allow-list.
fn with_list(text: &str, list: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    let names: String = list
        .lines()
        .filter(|line| line.starts_with("      - "))
        .map(|line| format!("{line}\n"))
        .collect();
    Some(format!("{before}{BEGIN}{names}{END}{after}"))
}

/// Returns the files in [`FOLDERS`] that are no longer made.
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
