//! Checks the library with each feature alone, without features and with all, and without features for other
//! systems. A build of the whole workspace unites all features and so hides what one of them lacks.

use std::path::Path;

use anyhow::ensure;

use crate::workspace::Workspace;
use crate::{rustup, tools};

const LIBRARY: &str = "otel-usage";
const COMMAND: &str = "otel-usage-cli";

/// Systems of which the library is checked without features, which needs no C compiler.
const TARGETS: [&str; 4] = [
    "aarch64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
    "aarch64-apple-darwin",
    "x86_64-pc-windows-gnu",
];

pub(crate) fn check() -> anyhow::Result<()> {
    let root = tools::root()?;
    let workspace = Workspace::read(root)?;
    let library = workspace.package(LIBRARY)?;
    lint(root, LIBRARY, &[])?;
    for feature in library.features() {
        lint(root, LIBRARY, &["--features", feature])?;
    }
    lint(root, LIBRARY, &["--all-features"])?;
    for target in TARGETS {
        rustup::add_target(root, target)?;
        lint(root, LIBRARY, &["--target", target])?;
    }
    command_without_bridge(root)
}

/// Runs clippy rather than `cargo check`, because code that a set of features leaves unused is a mistake too.
fn lint(root: &Path, package: &str, options: &[&str]) -> anyhow::Result<()> {
    let shown = format!("{package} {}", options.join(" "));
    eprintln!("checking {shown}");
    tools::run(
        tools::cargo(root)
            .args(["clippy", "--quiet", "--locked", "--package", package, "--no-default-features"])
            .args(options)
            .args(["--", "--deny", "warnings"]),
        &format!("this does not compile without warnings: {shown}"),
    )
}

/// Checks the command without the bridge, which alone needs an asynchronous runtime.
fn command_without_bridge(root: &Path) -> anyhow::Result<()> {
    lint(root, COMMAND, &[])?;
    let tree = tools::output(
        tools::cargo(root)
            .args(["tree", "--locked", "--package", COMMAND, "--no-default-features"])
            .args(["--edges", "normal", "--prefix", "none", "--format", "{p}"]),
    )?;
    ensure!(
        !tree.lines().any(|line| line.split(' ').next() == Some("tokio")),
        "{COMMAND} depends on tokio without the feature `bridge`; see `cargo tree --invert tokio`"
    );
    Ok(())
}
