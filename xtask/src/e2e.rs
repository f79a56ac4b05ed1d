//! Runs the tests of `tests/collector/` with a real collector, so that none of them is skipped.

use std::path::Path;

use crate::{collector, python, tools};

pub(crate) fn run(all: bool) -> anyhow::Result<()> {
    let Some(otelcol) = collector::build()? else { return Ok(()) };
    let root = tools::root()?;
    // The tests start the bridge from the folder in which they lie.
    tools::otel_usage(root, false)?;
    let mut test = tools::cargo(root);
    test.args(["test", "--package", "otel-usage", "--test", "collector", "--locked"])
        .env("OTELCOL", otelcol);
    if all {
        let list = "tests/collector/requirements.txt";
        let python = python::environment(root, "e2e", Path::new("python3"), &[list])?;
        test.env("OTEL_USAGE_E2E_PYTHON", python);
    }
    tools::run(&mut test, "a chain through the collector failed: see the test above")
}
