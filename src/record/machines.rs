//! Every machine in `tests/fixtures/machines` comes in; its facts, and what each contract makes of
//! them, are what the Python originals would say there. Compiled for tests only.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::preview;
use crate::config::ConfigFile;
use crate::probe::{Facts, Machine, probe};
use crate::schema::UsageRecord;
use crate::schema::{lmcache, vllm};
use crate::{Contract, Env, Usage};

/// The folders, by name.
fn machines() -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/machines");
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path))
        .collect();
    found.sort();
    found
}

fn expected(folder: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(folder.join("expected.json")).unwrap()).unwrap()
}

/// Every fact by its name; a new one is a mistake here until the folders have it.
fn by_name(facts: Facts) -> Value {
    let Facts {
        cloud_provider,
        cpu_count,
        cpu_physical_count,
        cpu_brand,
        cpu_vendor,
        cpu_family,
        cpu_model,
        cpu_stepping,
        memory_bytes,
        memory_limit_bytes,
        machine,
        os_type,
        platform,
        architecture,
        accelerators,
        install_source,
        container,
    } = facts;
    assert_eq!(accelerators, None, "no driver of this machine is asked");
    json!({
        "cloud_provider": cloud_provider,
        "cpu_count": cpu_count,
        "cpu_physical_count": cpu_physical_count,
        "cpu_brand": cpu_brand,
        "cpu_vendor": cpu_vendor,
        "cpu_family": cpu_family,
        "cpu_model": cpu_model,
        "cpu_stepping": cpu_stepping,
        "memory_bytes": memory_bytes,
        "memory_limit_bytes": memory_limit_bytes,
        "machine": machine,
        "os_type": os_type,
        "platform": platform,
        "architecture": architecture,
        "install_source": install_source,
        "container": container,
    })
}

/// The first message of a run on that machine.
fn first_message(contract: &Contract, machine: Machine, record: impl UsageRecord) -> Value {
    let none = Env::given([("HOME", "/nowhere")]);
    let builder = Usage::builder(contract).with_environment(none.clone());
    let mut plan = builder.plan(&none, &ConfigFile::default()).unwrap();
    plan.machine = machine;
    let run = preview::run(&Arc::new(plan), record, false);
    serde_json::from_str(&run.start[0].message().unwrap().to_json()).unwrap()
}

/// Whether the message says all that is expected of it.
fn says(message: &Value, expected: &Value, name: &str) {
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&message[key], value, "{name}: {key}");
    }
}

#[test]
fn facts_and_reports_are_those_of_the_originals() {
    let machines = machines();
    assert!(machines.len() >= 30, "{}", machines.len());
    for (name, folder) in machines {
        let machine = || Machine::recorded(&folder).unwrap();
        let expected = expected(&folder);
        let found = by_name(probe(&machine(), true, &mut |_| ()));
        for (fact, value) in expected["facts"].as_object().unwrap() {
            assert_eq!(&found[fact], value, "{name}: {fact}");
        }
        assert_eq!(found, expected["facts"], "{name}");

        let report = first_message(&vllm::CURRENT, machine(), vllm::Report::default());
        says(&report, &expected["vllm"], &name);
        assert_eq!(report["gpu_count"], Value::Null, "{name}");
        for contract in [&lmcache::V1, &lmcache::DOC] {
            let message = first_message(contract, machine(), lmcache::Engine::default());
            assert_eq!(message["message_type"], "EnvMessage");
            says(&message, &expected["lmcache"], &name);
        }
    }
}

#[test]
fn leaves_and_the_kernels_text_say_the_same() {
    let mut both = 0;
    for (name, folder) in machines() {
        let description = fs::read_to_string(folder.join("machine.json")).unwrap();
        let mut description: Value = serde_json::from_str(&description).unwrap();
        let had_leaves = description.as_object_mut().unwrap().remove("cpuid").is_some();
        if !had_leaves || !folder.join("proc/cpuinfo").exists() {
            continue;
        }
        // The same files, described without leaves.
        let copy = tempfile::tempdir().unwrap();
        fs::write(copy.path().join("machine.json"), description.to_string()).unwrap();
        fs::create_dir(copy.path().join("proc")).unwrap();
        fs::copy(folder.join("proc/cpuinfo"), copy.path().join("proc/cpuinfo")).unwrap();
        let without = probe(&Machine::recorded(copy.path()).unwrap(), false, &mut |_| ());
        let with = probe(&Machine::recorded(&folder).unwrap(), false, &mut |_| ());
        let identity = |facts: Facts| {
            let Facts { cpu_brand, cpu_vendor, cpu_family, cpu_model, cpu_stepping, .. } = facts;
            [cpu_brand, cpu_vendor, cpu_family, cpu_model, cpu_stepping]
        };
        assert_eq!(identity(with), identity(without), "{name}");
        both += 1;
    }
    assert!(both >= 8, "{both}");
}
