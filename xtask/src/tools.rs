//! Programs that a check needs.
//!
//! In: a name. Out: whether it is there, after an attempt to install it where that is allowed. A
//! check whose tools cannot be had says so in one line and passes; under CI it fails.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// Whether a program runs, installed by the system's packages if need be and allowed.
pub(crate) fn have(program: &str) -> bool {
    let here = || runs(Command::new(program).arg("--version"));
    if !here() && runs(Command::new("sh").args(["-c", "test $(id -u) = 0"])) {
        runs(Command::new("apt-get").arg("update"));
        runs(Command::new("apt-get").args([
            "install",
            "--yes",
            "--no-install-recommends",
            program,
        ]));
    }
    here()
}

fn runs(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Says why a check did not run.
pub(crate) fn skip(because: &str) -> anyhow::Result<()> {
    if std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false") {
        bail!("{because}, and under CI everything has to be there");
    }
    println!("not checked: {because}");
    Ok(())
}

/// The workspace's folder.
pub(crate) fn root() -> anyhow::Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace's folder")
}

/// The cargo that runs this task.
pub(crate) fn cargo(folder: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(folder);
    // What `cargo run` says about this program; some build scripts (ring's) run again when it changes,
    // and half of the workspace after them.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        }) {
            command.env_remove(name);
        }
    }
    command
}

/// Where cargo builds.
pub(crate) fn target(root: &Path) -> anyhow::Result<PathBuf> {
    let output = cargo(root)
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked"])
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    // One string of a known key: not worth a parser.
    let (_, rest) = text.split_once("\"target_directory\":\"").context("cargo metadata")?;
    Ok(PathBuf::from(rest.split_once('"').context("cargo metadata")?.0))
}
