//! Tests `otel-usage probe`: facts, where they were read, and machines as folders.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::shell::{Ran, Shell};

fn machines() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/machines")
}

fn json(shell: &Shell, options: &str) -> Value {
    let ran = shell.run(&format!("probe --json {options}"));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    ran.json_lines().remove(0)
}

/// Returns the facts by attribute. Each has either a value or the reason why it is absent.
fn values(document: &Value) -> BTreeMap<String, Value> {
    let facts = document["facts"].as_array().unwrap();
    facts
        .iter()
        .inspect(|fact| assert_ne!(fact["value"].is_null(), fact["absent"].is_null(), "{fact}"))
        .filter(|fact| !fact["value"].is_null())
        .map(|fact| (fact["attribute"].as_str().unwrap().to_owned(), fact["value"].clone()))
        .collect()
}

/// Returns the row of the table that begins with the name of a fact.
fn row<'ran>(ran: &'ran Ran, fact: &str) -> &'ran str {
    ran.out.lines().find(|line| line.starts_with(&format!("{fact}  "))).unwrap()
}

#[test]
fn this_machine_is_shown_while_collection_is_off_and_nothing_is_written() {
    let shell = Shell::new().with("DO_NOT_TRACK", "1").with("PATH", "/usr/bin");
    let ran = shell.run("probe");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(ran.out.starts_with("fact  "), "{}", ran.out);
    let document = json(&shell, "");
    assert_eq!((&document["format"], &document["root"]), (&1.into(), &Value::Null));
    let found = values(&document);
    assert!(found["otel_usage.cpu.count"].as_i64().unwrap() > 0, "{found:?}");
    let wide = shell.run("probe --wide");
    for (attribute, value) in found.iter().filter(|(_, value)| value.is_string()) {
        let line = wide.out.lines().find(|line| line.contains(&format!("  {attribute} "))).unwrap();
        assert!(line.contains(value.as_str().unwrap()), "{line}");
    }
    let steps = document["steps"].as_array().unwrap();
    let sum: u64 = steps.iter().map(|step| step["micros"].as_u64().unwrap()).sum();
    assert_eq!(document["micros"], sum);
    assert_eq!(shell.files(), Vec::<PathBuf>::new());
}

#[test]
fn a_recorded_machine_is_shown_with_the_files_that_were_read() {
    let root = machines().join("aws-xen");
    let ran = Shell::new().run(&format!("probe --root {}", root.display()));
    assert_eq!(ran.code, 0, "{ran:?}");
    for (fact, parts) in [
        ("cloud provider", ["  aws  ", "", "  /sys/class/dmi/id/product_version"]),
        ("CPU stepping", ["  1  ", "", "  /proc/cpuinfo"]),
        ("memory", ["  59.9 GiB  ", "", "  /proc/meminfo"]),
        ("memory limit", ["  -  ", "", "  not found: no cgroup sets a limit"]),
        ("container", ["  -  ", "", "  not found: no sign of a container"]),
        ("machine", ["  x86_64  ", "", "  uname  "]),
    ] {
        let row = row(&ran, fact);
        assert!(parts.iter().all(|part| row.contains(part)), "{row}");
    }
}

#[test]
fn the_command_shows_the_same_facts_as_the_library() {
    let shell = Shell::new();
    for entry in fs::read_dir(machines()).unwrap() {
        let root = entry.unwrap().path();
        let Ok(expected) = fs::read_to_string(root.join("expected.json")) else { continue };
        let expected: Value = serde_json::from_str(&expected).unwrap();
        let found = values(&json(&shell, &format!("--root {}", root.display())));
        for (attribute, fact) in [
            ("cloud.provider", "cloud_provider"),
            ("otel_usage.container.kind", "container"),
            ("host.cpu.model.name", "cpu_brand"),
            ("otel_usage.cpu.physical_count", "cpu_physical_count"),
            ("otel_usage.architecture", "architecture"),
        ] {
            let found = found.get(attribute).unwrap_or(&Value::Null);
            assert_eq!(found, &expected["facts"][fact], "{}: {fact}", root.display());
        }
    }
}

#[test]
fn absence_is_explained_and_nothing_of_this_machine_leaks_into_a_folder() {
    let shell = Shell::new().with("RUNPOD_DC_ID", "x").with("container", "podman");
    let folder = tempfile::tempdir().unwrap();
    let options = format!("--root {}", folder.path().display());
    let document = json(&shell, &options);
    // LMCache has a word for unknown.
    assert_eq!(values(&document).into_keys().collect::<Vec<_>>(), ["lmcache.install.source"]);
    let absent = |document: &Value, attribute: &str| {
        let facts = document["facts"].as_array().unwrap();
        let fact = facts.iter().find(|fact| fact["attribute"] == attribute).unwrap();
        fact["absent"].as_str().unwrap().to_owned()
    };
    assert_eq!(absent(&document, "cloud.provider"), "not found: no DMI files");
    assert_eq!(absent(&document, "otel_usage.memory.total"), "not found: no /proc/meminfo");

    fs::create_dir_all(folder.path().join("sys/class/dmi/id")).unwrap();
    fs::write(folder.path().join("sys/class/dmi/id/sys_vendor"), "Dell Inc.\n").unwrap();
    fs::create_dir_all(folder.path().join("proc/meminfo")).unwrap();
    let document = json(&shell, &options);
    let reason = absent(&document, "cloud.provider");
    assert_eq!(reason, "not found: the firmware (DMI) names no cloud that is known");
    let reason = absent(&document, "otel_usage.memory.total");
    assert_eq!(reason, "cannot be read: /proc/meminfo: is a directory");
}

#[test]
fn a_recording_has_the_same_facts_and_no_names() {
    let shell = Shell::new();
    let home = shell.home().display().to_string();
    let shell = shell.with("VIRTUAL_ENV", &format!("{home}/venv")).with("PATH", &home);
    let package = shell.home().join("venv/lib/python3.12/site-packages/lmcache-1.0.dist-info");
    fs::create_dir_all(package).unwrap();
    let folder = shell.home().join("recorded");
    let ran = shell.run(&format!("probe --record {}", folder.display()));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    assert!(ran.out.contains("\n  machine.json\n"), "{}", ran.out);

    let mut live = values(&json(&shell, ""));
    live.retain(|attribute, _| !attribute.starts_with("otel_usage.accelerator"));
    let elsewhere = Shell::new();
    assert_eq!(values(&json(&elsewhere, &format!("--root {}", folder.display()))), live);
    assert_eq!(live["lmcache.install.source"], "PIP");
    for path in shell.files().iter().filter(|path| path.starts_with(&folder) && path.is_file()) {
        assert!(!path.strip_prefix(&folder).unwrap().starts_with("home"), "{path:?}");
        let text = String::from_utf8(fs::read(path).unwrap()).unwrap();
        assert!(!text.contains(home.trim_start_matches('/')), "{path:?}: {text}");
    }

    let again = shell.run(&format!("probe --record {}", folder.display()));
    assert_eq!((again.code, again.err.lines().count()), (1, 1), "{again:?}");
    assert!(again.err.contains("is not empty: name a new folder"), "{}", again.err);
}

#[test]
fn an_unusable_folder_is_one_line_of_error() {
    let shell = Shell::new();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("machine.json"), r#"{"format": 9}"#).unwrap();
    for (root, named) in [
        (folder.path(), "format 9: this version reads 1"),
        (Path::new("/nowhere"), "/nowhere: no such folder"),
    ] {
        let ran = shell.run(&format!("probe --root {}", root.display()));
        assert_eq!((ran.code, ran.err.lines().count()), (1, 1), "{ran:?}");
        assert!(ran.err.contains(named) && ran.out.is_empty(), "{ran:?}");
    }
    assert_eq!(shell.run("probe --json --record x").code, 2);
}

#[test]
fn the_table_fits_100_columns_and_sizes_have_a_unit() {
    for entry in fs::read_dir(machines()).unwrap() {
        let root = entry.unwrap().path();
        if !root.join("machine.json").exists() {
            continue;
        }
        let options = format!("--root {}", root.display());
        let ran = Shell::new().run(&format!("probe {options}"));
        for line in ran.out.lines() {
            assert!(line.chars().count() <= 100, "{}: {line}", root.display());
        }
        let document = json(&Shell::new(), &options);
        if let Some(bytes) = values(&document).get("otel_usage.memory.total") {
            assert!(bytes.as_u64().unwrap() > 1_000_000, "the raw value: {bytes}");
            let row = row(&ran, "memory");
            assert!(row.contains("iB "), "{row}");
        }
    }
}
