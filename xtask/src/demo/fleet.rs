//! `cargo xtask demo fleet`: a fleet of engines sends through a real collector and bridge to the usage server while each
//! of these fails.
//!
//! `tests/collector/fleet/` plays the engines and compares what the server keeps and counts with what they sent. The
//! programs are release builds, because their behaviour under load is what the demo shows.

use anyhow::ensure;

use crate::{collector, tools};

pub(crate) fn fleet(engines: u32, minutes: f64) -> anyhow::Result<()> {
    ensure!(engines > 0, "--engines 0: at least one engine is needed");
    ensure!(
        (0.2..=300.0).contains(&minutes),
        "--minutes {minutes}: choose at least 0.2, so that every outage fits in, and at most 300, because the server believes times of the last seven days"
    );
    let Some(otelcol) = collector::build()? else { return Ok(()) };
    let root = tools::root()?;
    let command = tools::otel_usage(root, true)?;
    let mut test = tools::cargo(root);
    test.args(["test", "--package", "otel-usage", "--test", "collector", "--locked"])
        .args(["--", "fleet::demo", "--exact", "--ignored", "--nocapture"])
        .env("OTELCOL", otelcol)
        .env("OTEL_USAGE_COMMAND", command)
        .env("OTEL_USAGE_FLEET_ENGINES", engines.to_string())
        .env("OTEL_USAGE_FLEET_MINUTES", minutes.to_string());
    tools::run(&mut test, "what arrived is not what the engines sent: see the tables above")
}
