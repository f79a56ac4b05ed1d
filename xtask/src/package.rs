//! Makes the packages of everything that engines link, and builds each from its own files.
//!
//! Cargo builds a package as if the others were already published, so the names need not exist anywhere.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

use crate::tools;
use crate::workspace::{Package, Workspace};

/// Folders that no package contains, because engines compile nothing in them.
const LEFT_OUT: [&str; 4] = ["benches/", "docs/", "examples/", "tests/"];

pub(crate) fn check() -> anyhow::Result<()> {
    let root = tools::root()?;
    let workspace = Workspace::read(root)?;
    let target = workspace.target_directory.join("package-check");
    // Also packages a tree with changes, because the check belongs before a commit.
    let package = |names: &[&str], options: &[&str]| {
        let mut command = tools::cargo(root);
        command.args(["package", "--locked", "--allow-dirty"]);
        command.args(names.iter().flat_map(|name| ["--package", name])).args(options);
        command
    };
    for one in workspace.published() {
        metadata(one)?;
        let list = tools::output(&mut package(&[&one.name], &["--list"]))?;
        if let Some(path) =
            list.lines().find(|path| LEFT_OUT.iter().any(|out| path.starts_with(out)))
        {
            bail!("{} contains {path}: correct `include` in its Cargo.toml", one.name);
        }
    }
    workspace.published().try_for_each(|one| forget(one, &target))?;
    let names: Vec<&str> = workspace.published().map(|one| one.name.as_str()).collect();
    tools::run(
        package(&names, &["--all-features", "--target-dir"]).arg(&target),
        "a package does not build from its own files",
    )?;
    for one in workspace.published() {
        let path = target.join("package").join(format!("{}-{}.crate", one.name, one.version));
        println!("{} {}: {} KiB", one.name, one.version, size(&path)?.div_ceil(1024));
    }
    Ok(())
}

/// Removes what Cargo has unpacked and built of an earlier package with the same version, which it would use again: it
/// takes a version for something that never changes.
fn forget(package: &Package, target: &Path) -> anyhow::Result<()> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let unpacked = home.context("neither CARGO_HOME nor HOME is set")?.join("registry/src");
    let inside = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let version = format!("{}-{}", package.name, package.version);
    let unpacked = inside(&unpacked).into_iter().map(|registry| registry.join(&version));
    let is_own = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("otel-usage"))
    };
    let built = inside(&target.join("debug/.fingerprint")).into_iter().filter(is_own);
    for old in unpacked.filter(|old| old.is_dir()).chain(built) {
        std::fs::remove_dir_all(&old).with_context(|| old.display().to_string())?;
    }
    Ok(())
}

fn size(path: &Path) -> anyhow::Result<u64> {
    Ok(std::fs::metadata(path).with_context(|| path.display().to_string())?.len())
}

/// Checks what a registry and hosted documentation read from `Cargo.toml`.
fn metadata(package: &Package) -> anyhow::Result<()> {
    let name = &package.name;
    ensure!(package.description.is_some(), "{name} has no `description`");
    ensure!(package.license.is_some(), "{name} has no `license`");
    ensure!(package.readme.is_some(), "{name} has no `readme`");
    ensure!((1..=5).contains(&package.keywords.len()), "{name} needs one to five `keywords`");
    ensure!(!package.categories.is_empty(), "{name} has no `categories`");
    ensure!(package.repository.is_none(), "{name} names a `repository`, and there is none yet");
    let all_features =
        package.metadata.as_ref().and_then(|all| all.pointer("/docs/rs/all-features"));
    ensure!(
        all_features == Some(&true.into()),
        "{name} needs `[package.metadata.docs.rs] all-features = true`"
    );
    Ok(())
}
