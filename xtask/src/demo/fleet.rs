//! `cargo xtask demo fleet`: a fleet behind a real collector and a real bridge, through outages.
//!
//! In: how many engines, and for how long. Out: what `tests/collector/fleet/` prints: a timeline, and
//! the tables of its oracle; a failure when the oracle disagrees. Collector and bridge are built as they
//! are shipped; the engines, which are not measured, are a test program.

use anyhow::ensure;

use crate::{collector, tools};

pub(crate) fn fleet(engines: u32, minutes: f64) -> anyhow::Result<()> {
    ensure!(engines > 0, "--engines 0: name at least one");
    ensure!(
        (0.2..=600.0).contains(&minutes),
        "--minutes {minutes}: name at least 0.2, so that every outage has its time, and at most 600"
    );
    let Some(otelcol) = collector::build()? else { return Ok(()) };
    let root = tools::root()?;
    let built = tools::cargo(root)
        .args(["build", "--release", "--package", "otel-usage-cli", "--locked", "--quiet"])
        .status()?;
    ensure!(built.success(), "the command `otel-usage` does not build");
    let shown = tools::cargo(root)
        .args(["test", "--package", "otel-usage", "--test", "collector", "--locked", "--quiet"])
        .args(["--", "fleet::demo", "--exact", "--ignored", "--nocapture"])
        .env("OTELCOL", otelcol)
        .env("OTEL_USAGE_COMMAND", tools::target(root)?.join("release/otel-usage"))
        .env("OTEL_USAGE_FLEET_ENGINES", engines.to_string())
        .env("OTEL_USAGE_FLEET_MINUTES", minutes.to_string())
        .status()?;
    ensure!(shown.success(), "the oracle disagrees");
    Ok(())
}
