//! Runs the tests of `tests/collector/` with a real collector, so that none of them is skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{collector, tools};

pub(crate) fn run(all: bool) -> anyhow::Result<()> {
    let Some(otelcol) = collector::build()? else { return Ok(()) };
    let root = tools::root()?;
    // The tests start the bridge from the folder in which they lie.
    tools::otel_usage(root, false)?;
    let mut test = tools::cargo(root);
    test.args(["test", "--package", "otel-usage", "--test", "collector", "--locked"])
        .env("OTELCOL", otelcol);
    if all {
        test.env("OTEL_USAGE_E2E_PYTHON", python(root)?);
    }
    tools::run(&mut test, "a chain through the collector failed: see the test above")
}

/// Makes a virtual environment with the packages of `tests/collector/requirements.txt`.
fn python(root: &Path) -> anyhow::Result<PathBuf> {
    let folder = root.join(".cache/e2e");
    tools::run(
        Command::new("python3").args(["-m", "venv"]).arg(&folder),
        "python3 -m venv failed: install Python with its module venv",
    )?;
    let python = folder.join("bin/python");
    let mut install = Command::new(&python);
    install
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(root.join("tests/collector/requirements.txt"));
    tools::watched("installing Kafka and ClickHouse", || {
        tools::run(
            &mut install,
            "tests/collector/requirements.txt cannot be installed: PyPI is needed",
        )
    })?;
    Ok(python)
}
