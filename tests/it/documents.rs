//! The documents say what the code does: every variable is documented, every promise has a name.

use otel_usage::config::VARIABLES;
use otel_usage::schema::{Contract, Directory};

fn read(file: &str) -> String {
    std::fs::read_to_string(format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn every_variable_that_is_read_is_documented() {
    let page = read("docs/environment.md");
    let contracts = Contract::built_in();
    let own = contracts.iter().flat_map(|contract| {
        let directory = match &contract.directory {
            Directory::Xdg { variable, .. } => variable.as_deref(),
            _ => None,
        };
        let switches = contract.switches.iter().map(|switch| switch.variable.as_ref());
        let interval = contract.interval_variable.as_deref();
        switches.chain(contract.server_variable.as_deref()).chain(interval).chain(directory)
    });
    for name in VARIABLES.iter().chain(otel_usage::probe::ENVIRONMENT).copied().chain(own) {
        assert!(page.contains(&format!("`{name}`")), "docs/environment.md does not name {name}");
    }
}

#[test]
fn every_sanitized_field_is_among_the_differences() {
    let page = read("docs/compatibility.md");
    for contract in Contract::built_in() {
        for field in contract.messages.iter().flat_map(|message| message.fields.iter()) {
            let cap_only = field
                .sanitize
                .iter()
                .all(|step| matches!(step, otel_usage::schema::Sanitizer::CapLen(_)));
            let name = field.name.as_ref();
            assert!(cap_only || page.contains(&format!("`{name}`")), "{name} is changed silently");
        }
    }
}

#[test]
fn every_promise_names_tests_that_exist() {
    let page = read("docs/promises.md");
    let mut sources = String::new();
    for folder in [
        "tests",
        "tests/it",
        "tests/interop",
        "tests/nvml",
        "tests/optout/tests",
        "macros/tests",
        "src/record",
        "src/schema",
        "bridge/tests/it",
        "cli/tests/it",
    ] {
        for entry in std::fs::read_dir(format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"))).unwrap()
        {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let names: Vec<&str> = page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.contains('_') && !word.contains(['/', '.']))
        .collect();
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        assert!(sources.contains(&format!("fn {name}(")), "there is no test {name}");
    }
}

/// Whether a documented path, with `{a,b}`, `*` and `**` in it, stands for a path that was asked.
fn covers(documented: &str, path: &str) -> bool {
    if let Some((before, rest)) = documented.split_once('{') {
        let (words, after) = rest.split_once('}').unwrap();
        return words.split(',').any(|word| covers(&format!("{before}{word}{after}"), path));
    }
    match documented.split_once('*') {
        Some((before, after)) => {
            let after = after.trim_start_matches('*');
            let rest = path.strip_prefix(before.trim_end_matches('/'));
            let after = after.rsplit('/').next().unwrap();
            rest.is_some_and(|rest| rest.ends_with(after))
        }
        None => path == documented,
    }
}

#[test]
fn every_path_that_the_probe_asks_is_documented() {
    use otel_usage::probe::{Asked, Machine, probe};
    let page = read("docs/environment.md");
    let (_, section) = page.split_once("## Probe").unwrap();
    let documented: Vec<&str> = section
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.starts_with(['/', '$']))
        .chain(["$VIRTUAL_ENV/lib"])
        .collect();
    let folder = format!("{}/tests/fixtures/machines", env!("CARGO_MANIFEST_DIR"));
    let mut asked = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let Ok(machine) = Machine::recorded(entry.unwrap().path()) else { continue };
        let _ = probe(&machine.traced(), true, &mut |step| {
            let paths = step.sources.iter().filter(|source| {
                matches!(source.asked, Asked::File | Asked::Folder | Asked::Marker)
            });
            asked.extend(paths.map(|source| source.name.clone()));
        });
    }
    assert!(asked.len() > 40, "{asked:?}");
    for path in &asked {
        let known = documented.iter().any(|documented| covers(documented, path));
        assert!(known, "docs/environment.md does not name {path}");
    }
}
