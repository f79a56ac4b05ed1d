//! `cargo xtask demo adopt`: compares an engine's Python original with this library.
//!
//! Prints three tables: what is sent, what it costs, and how long an engine takes to end if the server never answers.
//! The originals are unmodified, ours is `examples/adopt.rs`, and both send to a server in this process.

mod fleet;
pub(crate) mod side;
#[cfg(target_os = "linux")]
mod silence;

pub(crate) use fleet::fleet;
#[cfg(target_os = "linux")]
pub(crate) use silence::silence;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};

use crate::tools;
use otel_usage_testing::compare::{Compared, compare};
use otel_usage_testing::python::Originals;
use side::{Cost, Side};

/// Measurements of each cost, of which the median is shown.
const TIMES: usize = 3;

/// Scenarios in which what is sent is compared.
const SCENARIOS: [&str; 9] = [
    "vllm-cuda",
    "vllm-rocm",
    "vllm-xpu",
    "vllm-tpu",
    "vllm-cpu",
    "lmcache-single",
    "lmcache-remote",
    "lmcache-mp",
    "lmcache-mp-idle",
];

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
    let ours = ours(root)?;
    let original = Side::Original;

    println!("Original: vLLM 0.33.0 and LMCache 0.5.6 as published, with a replacement for torch.");
    println!("Ours: examples/adopt.rs, release build. Both send to a server on this machine.\n");
    let different = sent(originals, &original, &ours)?;
    costs(originals, &original, &ours)?;
    ends(originals, &original, &ours)?;
    ensure!(
        different == 0,
        "{different} field(s) differ without an entry in docs/receiver/compatibility.md"
    );
    Ok(())
}

/// Builds our side.
pub(crate) fn ours(root: &Path) -> anyhow::Result<Side> {
    tools::run(
        tools::cargo(root).args(["build", "--release", "--example", "adopt", "--locked"]),
        "examples/adopt.rs does not build",
    )?;
    Ok(Side::Ours(tools::target(root)?.join("release/examples/adopt")))
}

/// Compares what both sides send and returns the number of undocumented differences.
fn sent(originals: &Originals, original: &Side, ours: &Side) -> anyhow::Result<usize> {
    let line = |scenario: &str, message: &str, fields: &str, different: &str, documented: &str| {
        println!("{scenario:<16} {message:<38} {fields:>6} {different:>9}  {documented}");
    };
    println!("WHAT IS SENT: paths, keys, their order, and the text of every value");
    line("scenario", "message", "fields", "different", "listed in docs/receiver/compatibility.md");
    let mut different = 0;
    for scenario in SCENARIOS {
        // Both sides share a home directory, because LMCache keeps the machine id there.
        let home = tempfile::tempdir()?;
        let theirs = original.run(originals, scenario, home.path(), "whole")?;
        let mine = ours.run(originals, scenario, home.path(), "whole")?;
        let compared = compare(&theirs.requests, &mine.requests).map_err(|error| anyhow!(error))?;
        let mut name = scenario;
        for Compared { message, fields, documented, differences } in &compared {
            let documented = documented.join(", ");
            line(name, message, &fields.to_string(), &differences.len().to_string(), &documented);
            for difference in differences {
                println!("    {difference}");
            }
            different += differences.len();
            name = "";
        }
    }
    println!();
    Ok(different)
}

/// Measures what the reports cost the process of the engine and its children.
fn costs(originals: &Originals, original: &Side, ours: &Side) -> anyhow::Result<()> {
    println!("WHAT THE START COSTS, from the first report to the last answer (median of {TIMES})");
    println!(
        "Imports of the original are not counted, because its engine has loaded most of them."
    );
    table();
    for scenario in MEASURED {
        let [theirs, mine] = [original, ours].map(|side| median(originals, side, scenario));
        let (theirs, mine) = (theirs?, mine?);
        let [a, b] = [&theirs, &mine].map(|cost| format!("{:.1} ms", cost.cpu_seconds * 1e3));
        row(scenario, "processor time", &a, &b);
        let [a, b] = [&theirs, &mine].map(|cost| format!("{:.1} ms", cost.wall_seconds * 1e3));
        row("", "until the last answer", &a, &b);
        let [a, b] = [original, ours].map(|side| children(originals, side, scenario));
        let ((a, programs), (b, _)) = (a?, b?);
        row("", "child processes", &a, &b);
        if !programs.is_empty() {
            println!("{:<16} of the original: {programs}", "");
        }
    }
    println!();
    Ok(())
}

fn median(originals: &Originals, side: &Side, scenario: &str) -> anyhow::Result<Cost> {
    let home = tempfile::tempdir()?;
    let mut costs: Vec<Cost> = (0..TIMES)
        .map(|_| side.run(originals, scenario, home.path(), "start"))
        .collect::<anyhow::Result<_>>()?;
    costs.sort_by(|a, b| a.cpu_seconds.total_cmp(&b.cpu_seconds));
    costs.into_iter().nth(TIMES / 2).context("no run")
}

/// Returns the number of child processes and the programs they ran.
fn children(
    originals: &Originals,
    side: &Side,
    scenario: &str,
) -> anyhow::Result<(String, String)> {
    if !tools::have("strace") {
        return Ok(("not counted".to_owned(), "strace is missing: install it".to_owned()));
    }
    let home = tempfile::tempdir()?;
    let (count, programs) = side.children(originals, scenario, home.path())?;
    Ok((count.to_string(), programs))
}

/// Measures how long the process lives on after its engine ended.
fn ends(originals: &Originals, original: &Side, ours: &Side) -> anyhow::Result<()> {
    println!(
        "HOW LONG AN ENGINE TAKES TO END if the server accepts a connection and never answers"
    );
    table();
    for scenario in MEASURED {
        let [theirs, mine] = [original, ours].map(|side| {
            let home = tempfile::tempdir()?;
            side.end(originals, scenario, home.path())
        });
        let text = |time: Duration| format!("{:.0} ms", time.as_secs_f64() * 1e3);
        row(scenario, "until the process is gone", &text(theirs?), &text(mine?));
    }
    Ok(())
}

fn table() {
    row("", "", "original", "ours");
}

fn row(scenario: &str, what: &str, original: &str, ours: &str) {
    println!("{scenario:<16} {what:<26} {original:>12}   {ours:>10}");
}

/// Returns the environment variables of a scenario.
fn environment(path: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let scenario: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let given = scenario.get("environment").and_then(|value| value.as_object());
    let pairs = given.into_iter().flatten();
    Ok(pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect())
}
