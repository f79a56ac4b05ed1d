//! `cargo xtask demo adopt`: compares an engine's Python original with this library and with the Python package.
//!
//! Prints three tables: what is sent, what it costs, and how long an engine takes to end if the server never answers.
//! The originals are unmodified. The library is `examples/adopt.rs`, the package its wheel in a clean environment, and
//! all send to a server in this process.

mod fleet;
mod serve;
pub(crate) mod side;
#[cfg(target_os = "linux")]
pub(crate) mod silence;

pub(crate) use fleet::fleet;
pub(crate) use serve::serve;
#[cfg(target_os = "linux")]
pub(crate) use silence::silence;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};

use crate::{python, tools, wheels};
use otel_usage_testing::compare::{Compared, compare};
use otel_usage_testing::python::{Originals, SCENARIOS};
use side::{Cost, Side};

/// Measurements of each cost, of which the median is shown.
const TIMES: usize = 3;

/// Scenarios in which costs are measured, one for each engine.
pub(crate) const MEASURED: [&str; 3] = ["vllm-rocm", "lmcache-single", "lmcache-mp"];

pub(crate) fn adopt() -> anyhow::Result<()> {
    if !cfg!(target_os = "linux") {
        return tools::skip("the originals run on Linux only");
    }
    let root = tools::root()?;
    let originals = match Originals::wheels() {
        Ok(originals) => originals,
        Err(because) => return tools::skip(&because),
    };
    let sides = [Side::Original, library(root)?, package(root, &wheels::host_wheel(root)?)?];

    println!("Original: vLLM 0.33.0 and LMCache 0.5.6 as published, with a replacement for torch.");
    println!(
        "Library: examples/adopt.rs, release build. Package: the wheel, in the engines' own code."
    );
    println!("All send to a server on this machine.\n");
    let different = sent(originals, &sides)?;
    costs(originals, &sides)?;
    ends(originals, &sides)?;
    ensure!(
        different == 0,
        "{different} field(s) differ without an entry in docs/receiver/compatibility.md"
    );
    Ok(())
}

/// Builds the program that uses the library.
pub(crate) fn library(root: &Path) -> anyhow::Result<Side> {
    tools::run(
        tools::cargo(root).args(["build", "--release", "--example", "adopt", "--locked"]),
        "examples/adopt.rs does not build",
    )?;
    Ok(Side::Library(tools::target(root)?.join("release/examples/adopt")))
}

/// Installs the Python package from its wheel, into an environment of its own that has what the originals import.
pub(crate) fn package(root: &Path, wheel: &Path) -> anyhow::Result<Side> {
    let lists = ["tests/interop/requirements.txt"];
    let python: PathBuf = python::environment(root, "python-adopt", Path::new("python3"), &lists)?;
    python::install(&python, wheel)?;
    Ok(Side::Package(python))
}

/// Compares what the sides send and returns the number of undocumented differences.
fn sent(originals: &Originals, [original, ours @ ..]: &[Side; 3]) -> anyhow::Result<usize> {
    let line = |cells: [&str; 6]| {
        let [scenario, message, fields, library, package, documented] = cells;
        println!(
            "{scenario:<16} {message:<38} {fields:>6} {library:>8} {package:>8}  {documented}"
        );
    };
    println!("WHAT IS SENT: fields whose path, key, order or text differs from the original");
    let documented = "listed in docs/receiver/compatibility.md";
    line(["scenario", "message", "fields", "library", "package", documented]);
    let mut different = 0;
    for scenario in SCENARIOS {
        // All sides share a home directory, because LMCache keeps the machine id there.
        let home = tempfile::tempdir()?;
        let theirs = original.run(originals, scenario, home.path(), "whole")?;
        let mut compared = Vec::new();
        for side in ours {
            let mine = side.run(originals, scenario, home.path(), "whole")?;
            let found =
                compare(&theirs.requests, &mine.requests).map_err(|error| anyhow!(error))?;
            compared.push(found);
        }
        let [library, package] = compared.as_slice() else { continue };
        let mut name = scenario;
        // The messages are the original's, in its order; after them either side may have a row for the whole run.
        for index in 0..library.len().max(package.len()) {
            let rows = [library.get(index), package.get(index)];
            let Some(shown) = rows.into_iter().flatten().next() else { continue };
            let count = |row: Option<&Compared>| row.map_or(0, |row| row.differences.len());
            let [library, package] = rows.map(|row| count(row).to_string());
            let documented = shown.documented.join(", ");
            let fields = shown.fields.to_string();
            line([name, &shown.message, &fields, &library, &package, &documented]);
            for (row, who) in rows.into_iter().zip(["library", "package"]) {
                for difference in row.iter().flat_map(|row| &row.differences) {
                    println!("    {who}: {difference}");
                }
                different += count(row);
            }
            name = "";
        }
    }
    println!();
    Ok(different)
}

/// Measures what the reports cost the process of the engine and its children.
fn costs(originals: &Originals, sides: &[Side; 3]) -> anyhow::Result<()> {
    println!("WHAT THE START COSTS, from the first report to the last answer (median of {TIMES})");
    println!("Imports are not counted, because an engine has loaded most of them.");
    table();
    for scenario in MEASURED {
        let mut all = Vec::new();
        for side in sides {
            all.push(median(originals, side, scenario, TIMES)?);
        }
        let millis = |of: fn(&Cost) -> f64| {
            all.iter().map(|cost| format!("{:.1} ms", of(cost) * 1e3)).collect::<Vec<_>>()
        };
        row(scenario, "processor time", &millis(|cost| cost.cpu_seconds));
        row("", "until the last answer", &millis(|cost| cost.wall_seconds));
        let mut counts = Vec::new();
        let mut programs = String::new();
        for side in sides {
            let (count, started) = children(originals, side, scenario)?;
            counts.push(count);
            programs.push_str(&started);
        }
        row("", "child processes", &counts);
        if !programs.is_empty() {
            println!("{:<16} of the original: {programs}", "");
        }
    }
    println!();
    Ok(())
}

/// Returns the run with the median of the processor time.
pub(crate) fn median(
    originals: &Originals,
    side: &Side,
    scenario: &str,
    times: usize,
) -> anyhow::Result<Cost> {
    let home = tempfile::tempdir()?;
    let mut costs: Vec<Cost> = (0..times)
        .map(|_| side.run(originals, scenario, home.path(), "start"))
        .collect::<anyhow::Result<_>>()?;
    costs.sort_by(|a, b| a.cpu_seconds.total_cmp(&b.cpu_seconds));
    costs.into_iter().nth(times / 2).context("no run")
}

/// Returns the number of child processes and the programs they ran.
pub(crate) fn children(
    originals: &Originals,
    side: &Side,
    scenario: &str,
) -> anyhow::Result<(String, String)> {
    if !tools::have("strace") {
        return Ok(("not counted".to_owned(), String::new()));
    }
    let home = tempfile::tempdir()?;
    let (count, programs) = side.children(originals, scenario, home.path())?;
    Ok((count.to_string(), programs))
}

/// Measures how long the process lives on after its engine ended.
fn ends(originals: &Originals, sides: &[Side; 3]) -> anyhow::Result<()> {
    println!(
        "HOW LONG AN ENGINE TAKES TO END if the server accepts a connection and never answers"
    );
    table();
    for scenario in MEASURED {
        let mut cells = Vec::new();
        for side in sides {
            let home = tempfile::tempdir()?;
            cells.push(millis(side.end(originals, scenario, home.path())?));
        }
        row(scenario, "until the process is gone", &cells);
    }
    Ok(())
}

fn millis(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1e3)
}

fn table() {
    row("", "", &["original", "library", "package"].map(str::to_owned));
}

fn row(scenario: &str, what: &str, cells: &[String]) {
    print!("{scenario:<16} {what:<26}");
    for cell in cells {
        print!(" {cell:>11}");
    }
    println!();
}

/// Returns the environment variables of a scenario.
fn environment(path: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let scenario: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let given = scenario.get("environment").and_then(|value| value.as_object());
    let pairs = given.into_iter().flatten();
    Ok(pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect())
}
