//! The chains behind a real collector, every one of them.
//!
//! In: Go for the collector; with `--all` also Python and PyPI, for the peers that the tests need
//! beside it. Out: the tests of `tests/collector/`, none of them skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;

use crate::{collector, tools};

pub(crate) fn run(all: bool) -> anyhow::Result<()> {
    let Some(otelcol) = collector::build()? else { return Ok(()) };
    let root = tools::root()?;
    // The bridge, which the tests find beside themselves.
    let built =
        tools::cargo(root).args(["build", "--package", "otel-usage-cli", "--locked"]).status()?;
    ensure!(built.success(), "the command `otel-usage` does not build");
    let mut test = tools::cargo(root);
    test.args(["test", "--package", "otel-usage", "--test", "collector", "--locked"])
        .env("OTELCOL", otelcol);
    if all {
        test.env("OTEL_USAGE_E2E_PYTHON", python(root)?);
    }
    ensure!(test.status()?.success(), "a chain is broken");
    Ok(())
}

/// A Python of its own, with what `tests/collector/requirements.txt` names.
fn python(root: &Path) -> anyhow::Result<PathBuf> {
    let folder = root.join(".cache/e2e");
    let made = Command::new("python3").args(["-m", "venv"]).arg(&folder).status()?;
    ensure!(made.success(), "python3 -m venv failed: the peers are installed from PyPI");
    let python = folder.join("bin/python");
    let installed = Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(root.join("tests/collector/requirements.txt"))
        .status()?;
    ensure!(installed.success(), "the packages of tests/collector/requirements.txt do not install");
    Ok(python)
}
