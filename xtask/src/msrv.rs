//! Checks with the oldest supported Rust what engines link.

use anyhow::{Context as _, ensure};

use crate::workspace::Workspace;
use crate::{rustup, tools};

pub(crate) fn check() -> anyhow::Result<()> {
    let root = tools::root()?;
    let workspace = Workspace::read(root)?;
    let mut versions = workspace.published().map(|package| package.rust_version.as_deref());
    let version = versions.next().flatten().context("the library has no `rust-version`")?;
    ensure!(
        versions.all(|other| other == Some(version)),
        "every published package needs `rust-version.workspace = true`"
    );
    let toolchain =
        if version.matches('.').count() == 1 { &format!("{version}.0") } else { version };
    let mut check = rustup::cargo(root, toolchain)?;
    check.args(["check", "--locked", "--all-features"]);
    for package in workspace.published() {
        check.args(["--package", &package.name]);
    }
    tools::run(&mut check, &format!("this does not compile with Rust {toolchain}"))?;
    println!("every published package compiles with Rust {toolchain}");
    Ok(())
}
