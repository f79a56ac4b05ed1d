//! The collector of `otel-collector/manifest.yaml`, built.
//!
//! In: the manifest, Go, and the Go module proxy. Out: the path of a collector. It lies in `.cache/`
//! and is built again only when the manifest changes. `OTELCOL=/path` stands in for it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::tools;

/// OpenTelemetry's own builder; its version is the manifest's, as it insists on.
const BUILDER: &str = "go.opentelemetry.io/collector/cmd/builder";

/// The collector to use, built if need be. `None`: there is no Go, and a line says so.
pub(crate) fn build() -> anyhow::Result<Option<PathBuf>> {
    if let Some(given) = std::env::var_os("OTELCOL") {
        let given = PathBuf::from(given);
        ensure!(
            given.is_file(),
            "OTELCOL={} is no file: unset it, or name a collector",
            given.display()
        );
        return Ok(Some(given));
    }
    let root = tools::root()?;
    let folder = root.join("otel-collector");
    let manifest = std::fs::read_to_string(folder.join("manifest.yaml"))
        .context("otel-collector/manifest.yaml")?;
    // What the manifest names as `output_path` and `name`; the tests look there, too.
    let built = root.join(".cache/collector/build/otelcol-usage");
    let stamp = root.join(".cache/collector/built-from.yaml");
    if built.is_file() && std::fs::read_to_string(&stamp).is_ok_and(|before| before == manifest) {
        return Ok(Some(built));
    }
    if !go(&folder).arg("version").stdout(Stdio::null()).status().is_ok_and(|s| s.success()) {
        tools::skip("the collector is built by Go, and there is none (or set OTELCOL=/path)")?;
        return Ok(None);
    }
    let line = manifest.lines().find_map(|line| line.trim().strip_prefix("version: "));
    let version = line.context("otel-collector/manifest.yaml names no version")?;

    let bin = root.join(".cache/collector/bin");
    std::fs::create_dir_all(&bin)?;
    eprintln!("building the collector; the first time takes minutes");
    let installed = go(&folder)
        .arg("install")
        .arg(format!("{BUILDER}@v{version}"))
        .env("GOBIN", &bin)
        .status()?;
    ensure!(installed.success(), "go install {BUILDER}@v{version} failed");
    // A build that breaks off leaves no stamp, and is done again.
    let _ = std::fs::remove_file(&stamp);
    let done = Command::new(bin.join("builder"))
        .current_dir(&folder)
        .args(["--config", "manifest.yaml"])
        .stdout(Stdio::null())
        .status()?;
    ensure!(done.success() && built.is_file(), "the collector does not build");
    std::fs::write(&stamp, manifest)?;
    Ok(Some(built))
}

fn go(folder: &Path) -> Command {
    let mut command = Command::new("go");
    command.current_dir(folder);
    command
}
