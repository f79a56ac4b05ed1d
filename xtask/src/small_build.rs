//! Builds the library without features and compares its dependencies with `docs/project/small-build.txt`.
//!
//! A build of the workspace unites features, so that a new dependency of the library alone would not show there.

use anyhow::{Context as _, bail};

use crate::tools::{self, cargo};

const LIST: &str = "docs/project/small-build.txt";

pub(crate) fn check(write: bool) -> anyhow::Result<()> {
    let root = tools::root()?;
    let small = ["--package", "otel-usage", "--no-default-features", "--locked"];
    tools::run(
        cargo(root).arg("build").args(small),
        "the library does not build without features",
    )?;

    let tree = tools::output(
        cargo(root)
            .arg("tree")
            .args(small)
            .args(["--edges", "normal", "--prefix", "none", "--format", "{p}"])
            // The list must not depend on the machine.
            .args(["--target", "x86_64-unknown-linux-gnu"]),
    )?;
    // Without versions, because an update of a dependency is not a new one.
    let mut names: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "otel-usage")
        .collect();
    names.sort_unstable();
    names.dedup();
    let now = names.join("\n") + "\n";

    let path = root.join(LIST);
    if write {
        std::fs::write(&path, now)?;
        return Ok(());
    }
    let before = std::fs::read_to_string(&path).with_context(|| LIST.to_owned())?;
    let is_new = |name: &&&str| !before.lines().any(|known| known == **name);
    let new: Vec<_> = names.iter().filter(is_new).collect();
    let gone: Vec<_> = before.lines().filter(|known| !names.contains(known)).collect();
    if !new.is_empty() || !gone.is_empty() {
        bail!(
            "the dependencies of the library without features changed: new {new:?}, gone {gone:?}; justify them in \
             docs/project/dependencies.md and run `cargo xtask small-build --write`"
        );
    }
    Ok(())
}
