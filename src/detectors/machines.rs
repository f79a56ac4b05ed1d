//! Tests that every machine in `tests/fixtures/machines` has the facts and the first message that the
//! Python originals would give there.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{EngineFacts, Facts, Machine, detect_here, probe};
use crate::schema::{CompiledContract, Contract, flatten, lmcache, vllm};

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

/// Every fact by its name.
fn by_name(facts: &Facts) -> Value {
    assert_eq!(facts.accelerators, None, "no driver of this machine is asked");
    let mut facts = serde_json::to_value(facts).unwrap();
    facts.as_object_mut().unwrap().remove("accelerators");
    facts
}

/// The first message of a run on that machine.
fn first_message(contract: &Contract, machine: &Machine, kind: &str) -> Value {
    let contract = CompiledContract::shared(contract).unwrap();
    let resource = detect_here(&contract, machine, &EngineFacts::default());
    let record = contract.read_record(kind, &[], 0, &mut |_, _| ()).unwrap();
    serde_json::from_str(&flatten(&contract, &resource, &record).unwrap().to_json()).unwrap()
}

/// Asserts that the message has every expected value.
fn assert_has(message: &Value, expected: &Value, name: &str) {
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&message[key], value, "{name}: {key}");
    }
}

#[test]
fn facts_and_messages_are_those_of_the_originals() {
    let machines = machines();
    assert!(machines.len() >= 30, "{}", machines.len());
    for (name, folder) in machines {
        let machine = Machine::recorded(&folder).unwrap();
        let expected = expected(&folder);
        let found = by_name(&probe(&machine, true, &mut |_| ()));
        for (fact, value) in expected["facts"].as_object().unwrap() {
            assert_eq!(&found[fact], value, "{name}: {fact}");
        }
        assert_eq!(found, expected["facts"], "{name}");

        let report = first_message(&vllm::CURRENT, &machine, vllm::REPORT);
        assert_has(&report, &expected["vllm"], &name);
        assert_eq!(report["gpu_count"], Value::Null, "{name}");
        for contract in [&lmcache::V1, &lmcache::DOC] {
            let message = first_message(contract, &machine, lmcache::ENVIRONMENT);
            assert_eq!(message["message_type"], "EnvMessage");
            assert_has(&message, &expected["lmcache"], &name);
        }
    }
}

#[test]
fn leaves_and_the_kernels_text_have_the_same_facts() {
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
