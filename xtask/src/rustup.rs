//! Installs missing toolchains and targets of the Rust compiler with rustup.

use std::path::Path;
use std::process::Command;

use anyhow::bail;

use crate::tools;

/// Returns the cargo of a toolchain such as `1.88.0`, to be started in `folder`.
pub(crate) fn cargo(folder: &Path, toolchain: &str) -> anyhow::Result<Command> {
    let mut command = rustup()?;
    let present = tools::succeeds(rustup()?.args(["run", toolchain, "cargo", "--version"]));
    if !present {
        tools::run(
            rustup()?.args(["toolchain", "install", toolchain, "--profile", "minimal"]),
            &format!("the toolchain {toolchain} cannot be installed: rustup needs the network"),
        )?;
    }
    command.args(["run", toolchain, "cargo"]).current_dir(folder);
    tools::forget_this_package(&mut command);
    Ok(command)
}

/// Adds the standard library for a target to the toolchain that runs this task.
pub(crate) fn add_target(root: &Path, target: &str) -> anyhow::Result<()> {
    let installed =
        tools::output(rustup()?.current_dir(root).args(["target", "list", "--installed"]))?;
    if installed.lines().any(|line| line == target) {
        return Ok(());
    }
    tools::run(
        rustup()?.current_dir(root).args(["target", "add", target]),
        &format!("the target {target} cannot be installed: rustup needs the network"),
    )
}

fn rustup() -> anyhow::Result<Command> {
    if !tools::succeeds(Command::new("rustup").arg("--version")) {
        bail!(
            "rustup is missing: install it, because this task needs further toolchains or targets"
        );
    }
    Ok(Command::new("rustup"))
}
