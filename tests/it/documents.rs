//! Compares the documents with the code: variables, changed fields, paths, and the tests behind promises.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use otel_usage::schema::Contract;
use otel_usage::settings::VARIABLES;

fn read(file: &str) -> String {
    std::fs::read_to_string(otel_usage_testing::root().join(file)).unwrap()
}

/// Returns the words of a page in backticks.
fn quoted(page: &str) -> impl Iterator<Item = &str> {
    page.split('`').skip(1).step_by(2)
}

/// Adds every file of the repository that is neither built nor hidden and has this extension.
fn files_with(extension: &str, folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            files_with(extension, &path, found);
        } else if path.extension().is_some_and(|other| other == extension) {
            found.push(path);
        }
    }
}

#[test]
fn the_documented_variables_are_those_that_are_read() {
    let page = read("docs/operator/environment.md");
    let contracts = Contract::built_in();
    let own = contracts.iter().flat_map(|contract| contract.variables());
    let is_read: BTreeSet<&str> =
        VARIABLES.iter().chain(otel_usage::detectors::VARIABLES).copied().chain(own).collect();
    let named: BTreeSet<&str> = quoted(&page).collect();
    let undocumented: Vec<_> = is_read.difference(&named).collect();
    assert!(undocumented.is_empty(), "docs/operator/environment.md does not name {undocumented:?}");

    // The first column of each table of variables.
    let mut in_table = false;
    let rows = page.lines().filter(|line| {
        in_table = line.starts_with('|') && (in_table || line.starts_with("| variable |"));
        in_table
    });
    let documented: BTreeSet<&str> =
        rows.flat_map(|row| quoted(row.split('|').nth(1).unwrap())).collect();
    assert!(documented.len() > 40, "{documented:?}");
    let unread: Vec<_> = documented.difference(&is_read).collect();
    assert!(
        unread.is_empty(),
        "docs/operator/environment.md names {unread:?}, which nothing reads"
    );
}

#[test]
fn the_readme_names_only_documented_variables() {
    let (readme, page) = (read("README.md"), read("docs/operator/environment.md"));
    let ours = quoted(&readme).filter(|word| word.starts_with("OTEL_"));
    let named: Vec<&str> = ours.map(|word| word.trim_end_matches('*')).collect();
    assert!(named.contains(&"OTEL_SDK_DISABLED") && named.contains(&"OTEL_EXPORTER_OTLP_"));
    for name in named {
        assert!(page.contains(name), "docs/operator/environment.md does not name {name}");
    }
}

#[test]
fn every_sanitized_field_is_among_the_differences() {
    let page = read("docs/receiver/compatibility.md");
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

/// Adds the names of the test functions in a folder and below it.
fn tests_below(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "py") {
            let source = std::fs::read_to_string(path).unwrap();
            let items = source.lines().filter_map(|line| line.strip_prefix("def "));
            let items = items.filter_map(|item| item.split_once('('));
            names.extend(
                items.map(|(name, _)| name.to_owned()).filter(|name| name.starts_with("test_")),
            );
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = std::fs::read_to_string(path).unwrap();
            for item in source.split("test]\n").skip(1).chain(source.split("test(flavor").skip(1)) {
                // Other attributes may follow.
                let mut lines =
                    item.lines().map(str::trim).skip_while(|line| !line.contains("fn "));
                let line = lines.next().unwrap_or_default();
                let name = line.split_once("fn ").and_then(|(_, rest)| rest.split_once('('));
                names.extend(name.map(|(name, _)| name.to_owned()));
            }
        }
    }
}

#[test]
fn every_promise_and_fault_names_tests_that_exist() {
    let mut tests = BTreeSet::new();
    let folders = [
        "bindings",
        "bridge",
        "cli",
        "macros",
        "mock-server",
        "schema",
        "serve",
        "src",
        "tests",
        "xtask",
    ];
    let folders = folders.map(|folder| otel_usage_testing::root().join(folder));
    folders.iter().filter(|folder| folder.is_dir()).for_each(|one| tests_below(one, &mut tests));
    let promises = read("docs/project/promises.md");
    // The other columns have names of variables and attributes.
    let faults: String = read("docs/project/field-faults.md")
        .lines()
        .filter_map(|row| row.strip_suffix(" |")?.rsplit(" | ").next())
        .collect();
    for (page, text) in [("promises.md", promises), ("field-faults.md", faults)] {
        let names = quoted(&text).map(|word| word.rsplit("::").next().unwrap());
        let names = names.filter(|word| word.contains('_') && !word.contains(['/', '.']));
        let (known, unknown): (Vec<&str>, Vec<&str>) =
            names.partition(|name| tests.contains(*name));
        assert!(unknown.is_empty(), "{page}: no test has the name {unknown:?}");
        assert!(known.len() > 15, "{page}: {known:?}");
    }
}

/// Returns whether a documented path, with `{a,b}`, `*` and `**` in it, stands for `path`.
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
    use otel_usage::detectors::{Asked, Machine, probe};
    let page = read("docs/operator/environment.md");
    let (_, section) = page.split_once("## Probe").unwrap();
    let documented: Vec<&str> = quoted(section)
        .filter(|word| word.starts_with(['/', '$']))
        .chain(["$VIRTUAL_ENV/lib"])
        .collect();
    let folder = format!("{}/tests/fixtures/machines", env!("CARGO_MANIFEST_DIR"));
    let mut asked = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let Ok(machine) = Machine::recorded(entry.unwrap().path()) else { continue };
        let _ = probe(&machine.traced(), true, &mut |step| {
            let paths = step.readings.iter().filter(|reading| {
                matches!(reading.asked, Asked::File | Asked::Folder | Asked::Marker)
            });
            asked.extend(paths.map(|reading| reading.name.clone()));
        });
    }
    assert!(asked.len() > 40, "{asked:?}");
    for path in &asked {
        let known = documented.iter().any(|documented| covers(documented, path));
        assert!(known, "docs/operator/environment.md does not name {path}");
    }
}

/// Returns a heading as a link names it: in lower case, words joined by `-`, without other characters.
fn anchor(heading: &str) -> String {
    let kept = |character: &char| character.is_alphanumeric() || " -_".contains(*character);
    heading.trim().to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
}

#[test]
fn every_link_between_pages_points_to_a_file_and_a_heading_that_exist() {
    let mut files = Vec::new();
    files_with("md", Path::new(env!("CARGO_MANIFEST_DIR")), &mut files);
    let mut links = 0;
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        // Code blocks hold attributes and indices, not links.
        let prose: String = text.split("\n```").step_by(2).collect();
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        let images = prose.split("src=\"").skip(1).filter_map(|rest| rest.split_once('"'));
        for (target, _) in targets.chain(images) {
            if target.contains("://") {
                continue;
            }
            links += 1;
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let page = if path.is_empty() { file.clone() } else { file.with_file_name(path) };
            assert!(page.exists(), "{}: no file {target}", file.display());
            let known = heading.is_empty()
                || std::fs::read_to_string(&page)
                    .unwrap()
                    .lines()
                    .filter_map(|line| line.strip_prefix('#'))
                    .any(|line| anchor(line.trim_start_matches('#')) == heading);
            assert!(known, "{}: no heading {target}", file.display());
        }
    }
    assert!(links > 30, "only {links} links in {} pages", files.len());
}

#[test]
fn the_readme_repeats_the_measured_costs() {
    let page = read("docs/project/performance.md");
    let readme = read("README.md");
    let figures: Vec<&str> = readme.lines().filter(|line| line.contains(" → ")).collect();
    assert!(figures.len() > 3, "{figures:?}");
    for line in figures {
        assert!(page.lines().any(|other| other == line), "not in performance.md: {line}");
    }
}

#[test]
fn the_payload_in_the_readme_is_a_part_of_the_golden_payload() {
    let readme = read("README.md");
    let block = readme.split("```json").nth(1).unwrap().split("```").next().unwrap();
    let shown: serde_json::Map<String, serde_json::Value> = serde_json::from_str(block).unwrap();
    let mut files = Vec::new();
    files_with("json", Path::new(env!("CARGO_MANIFEST_DIR")), &mut files);
    let file = files.iter().find(|file| file.ends_with("golden/vllm-current.json")).unwrap();
    let golden: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert!(shown.len() > 4, "{shown:?}");
    for (key, value) in &shown {
        assert_eq!(golden.get(key), Some(value), "{key}");
    }
    let total = golden.as_object().unwrap().len();
    assert!(readme.contains(&format!("{} of {total} fields", shown.len())));
}
