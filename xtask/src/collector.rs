//! Builds the collector of `otel-collector/manifest.yaml`, by Go and its module proxy.
//!
//! The result lies in `.cache/` and is built again when the manifest changes. `OTELCOL=/path` names another collector.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::tools;

/// OpenTelemetry's builder. It refuses a manifest of another version than its own.
const BUILDER: &str = "go.opentelemetry.io/collector/cmd/builder";

/// Returns the path of the collector, and builds it if necessary. Returns `None` if Go is missing.
pub(crate) fn build() -> anyhow::Result<Option<PathBuf>> {
    if let Some(given) = std::env::var_os("OTELCOL") {
        let given = PathBuf::from(given);
        ensure!(
            given.is_file(),
            "OTELCOL={} is not a file: unset the variable, or name a collector",
            given.display()
        );
        return Ok(Some(given));
    }
    let root = tools::root()?;
    let folder = root.join("otel-collector");
    let manifest = std::fs::read_to_string(folder.join("manifest.yaml"))
        .context("otel-collector/manifest.yaml")?;
    // `output_path` and `name` of the manifest. The tests look there too.
    let built = root.join(".cache/collector/build/otelcol-usage");
    let stamp = root.join(".cache/collector/built-from.yaml");
    if built.is_file() && std::fs::read_to_string(&stamp).is_ok_and(|before| before == manifest) {
        return Ok(Some(built));
    }
    if !tools::succeeds(go(&folder).arg("version")) {
        tools::skip("Go is missing, which builds the collector: install it, or set OTELCOL=/path")?;
        return Ok(None);
    }
    let line = manifest.lines().find_map(|line| line.trim().strip_prefix("version: "));
    let version = line.context("otel-collector/manifest.yaml has no `version`")?;

    let bin = root.join(".cache/collector/bin");
    std::fs::create_dir_all(&bin)?;
    tools::watched("downloading the collector's builder", || {
        tools::run(
            go(&folder).arg("install").arg(format!("{BUILDER}@v{version}")).env("GOBIN", &bin),
            &format!("go install {BUILDER}@v{version} failed"),
        )
    })?;
    // Without this file a build that is interrupted starts again.
    let _ = std::fs::remove_file(&stamp);
    let mut build = Command::new(bin.join("builder"));
    build.current_dir(&folder).args(["--config", "manifest.yaml"]).stdout(Stdio::null());
    tools::watched("building the collector, which takes minutes the first time", || {
        tools::run(&mut build, "the collector does not build")
    })?;
    ensure!(built.is_file(), "the collector's builder made no {}", built.display());
    std::fs::write(&stamp, manifest)?;
    Ok(Some(built))
}

fn go(folder: &Path) -> Command {
    let mut command = Command::new("go");
    command.current_dir(folder);
    command
}
