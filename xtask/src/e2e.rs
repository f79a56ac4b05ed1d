//! Runs the tests of `tests/collector/` with a real collector, so that none of them is skipped.

use std::path::{Path, PathBuf};

use crate::{collector, python, tools};

/// The packages from PyPI.
const PACKAGES: &str = "tests/collector/requirements.txt";

pub(crate) fn run(all: bool) -> anyhow::Result<()> {
    let Some(otelcol) = collector::build()? else { return Ok(()) };
    let root = tools::root()?;
    // The tests start the bridge from the folder in which they lie.
    tools::otel_usage(root, false)?;
    let mut test = tools::cargo(root);
    test.args(["test", "--package", "otel-usage", "--test", "collector", "--locked"])
        .env("OTELCOL", otelcol);
    if all {
        let python = python(root)?;
        test.env("OTEL_USAGE_E2E_PYTHON", &python);
        clickhouse(root, &python, &["clickhouse::"])?;
    }
    tools::run(&mut test, "a chain through the collector failed: see the test above")
}

/// Compares the answers of the usage server's databases about a million records.
pub(crate) fn million() -> anyhow::Result<()> {
    let root = tools::root()?;
    let python = python(root)?;
    let name = "clickhouse::both_databases_answer_alike_on_a_million_records";
    clickhouse(root, &python, &["--exact", name, "--ignored", "--nocapture"])
}

fn python(root: &Path) -> anyhow::Result<PathBuf> {
    python::environment(root, "e2e", Path::new("python3"), &[PACKAGES])
}

/// Runs tests of the usage server with ClickHouse's engine.
fn clickhouse(root: &Path, python: &Path, tests: &[&str]) -> anyhow::Result<()> {
    let mut test = tools::cargo(root);
    test.args(["test", "--package", "otel-usage-serve", "--test", "it", "--locked", "--"])
        .args(tests)
        .env("OTEL_USAGE_E2E_PYTHON", python);
    tools::run(&mut test, "the usage server's databases differ: see the test above")
}
