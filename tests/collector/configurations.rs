//! Checks the configuration files themselves: the collector accepts them, and they are consistent and up
//! to date.

use std::collections::BTreeSet;
use std::process::Command;

use otel_usage::Contract;
use otel_usage::schema::{RESOURCE_ATTRIBUTES, Source, transport};

use crate::otelcol::{GATE, configuration, find, root};

const SPANS: [&str; 7] = [
    "agent.yaml",
    "archive.yaml",
    "clickhouse.yaml",
    "direct.yaml",
    "gateway.yaml",
    "kafka.yaml",
    "replay.yaml",
];

fn text(name: &str) -> String {
    std::fs::read_to_string(configuration(name)).unwrap()
}

#[test]
fn every_configuration_is_valid() {
    let Some(binary) = find() else { return };
    let mut count = 0;
    for entry in std::fs::read_dir(configuration("")).unwrap() {
        let output = Command::new(&binary)
            .args(["validate", GATE, "--config"])
            .arg(entry.unwrap().path())
            .env_clear()
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // A deprecated name is a warning now, and an error some releases later.
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        count += 1;
    }
    assert_eq!(count, SPANS.len() + 1);
}

/// Checks that the protecting parts are the same in each file. Each file repeats them to be complete.
#[test]
fn every_configuration_has_the_same_gate() {
    let processors = |name: &str| {
        let text = text(name);
        let (_, rest) = text.split_once("\nprocessors:\n").unwrap();
        let (processors, rest) = rest.split_once("\nexporters:\n").unwrap();
        let chain =
            rest.lines().find(|line| line.trim_start().starts_with("processors: ")).unwrap();
        format!("{processors}{chain}")
    };
    for name in SPANS {
        assert_eq!(processors(name), processors(SPANS[0]), "{name}");
    }
}

#[test]
fn the_allow_list_equals_the_contracts() {
    // The last is reserved for messages that count.
    let mut keys: BTreeSet<String> =
        transport::names().chain(["otel_usage.sequence_number"]).map(str::to_owned).collect();
    keys.extend(RESOURCE_ATTRIBUTES.iter().map(|attribute| attribute.name.to_string()));
    for contract in Contract::built_in() {
        keys.extend(contract.attributes.iter().map(|attribute| attribute.name.to_string()));
        for field in contract.messages.iter().flat_map(|message| message.fields.iter()) {
            if let Source::Record(name) = &field.source {
                keys.insert(name.to_string());
            }
        }
    }
    for name in SPANS {
        let text = text(name);
        let (_, rest) = text.split_once("# Begin of the allow-list").unwrap();
        let (list, _) = rest.split_once("# End of the allow-list").unwrap();
        let listed: BTreeSet<String> = list
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- ").map(str::to_owned))
            .collect();
        assert_eq!(listed, keys, "{name}");
    }
}

#[test]
fn the_readme_names_every_variable() {
    let readme = std::fs::read_to_string(root().join("otel-collector/README.md")).unwrap();
    let mut files = SPANS.to_vec();
    files.push("legacy-flat.yaml");
    let mut found = BTreeSet::new();
    for name in files {
        let text = text(name);
        let variables = text.split("${env:").skip(1);
        found.extend(variables.map(|rest| rest.split_once(":-").unwrap().0.to_owned()));
    }
    assert!(!found.is_empty());
    for name in found {
        assert!(readme.contains(&format!("`{name}`")), "{name}");
    }
}
