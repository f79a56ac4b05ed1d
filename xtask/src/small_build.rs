//! The small build: the library without features, and nothing new in its dependency tree.
//!
//! A workspace build unifies features, so a dependency that slips into the small build does not
//! show there. The list is `docs/small-build.txt`; `docs/dependencies.md` argues for each entry.

use anyhow::{Context as _, bail, ensure};

use crate::tools::{self, cargo};

const LIST: &str = "docs/small-build.txt";

pub(crate) fn check(write: bool) -> anyhow::Result<()> {
    let root = tools::root()?;
    let small = ["--package", "otel-usage", "--no-default-features", "--locked"];
    let built = cargo(root).arg("build").args(small).status()?;
    ensure!(built.success(), "the small build does not build");

    let tree = cargo(root)
        .arg("tree")
        .args(small)
        .args(["--edges", "normal", "--prefix", "none", "--format", "{p}"])
        // One list, whatever machine it is made on.
        .args(["--target", "x86_64-unknown-linux-gnu"])
        .output()?;
    ensure!(tree.status.success(), "cargo tree: {}", String::from_utf8_lossy(&tree.stderr));
    // Names without versions: an update is no new dependency.
    let mut names: Vec<&str> = std::str::from_utf8(&tree.stdout)?
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
            "the small build's dependencies changed: new {new:?}, gone {gone:?}; argue for them in \
             docs/dependencies.md and run `cargo xtask small-build --write`"
        );
    }
    Ok(())
}
