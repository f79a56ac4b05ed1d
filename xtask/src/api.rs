//! Compares the public API of everything that engines link with `docs/project/api.txt`, by cargo-public-api.
//!
//! A change of the API thus shows as a change of that file. Types of other crates need an entry with a reason in
//! `docs/project/api-foreign.md`, because a new major version of such a crate breaks our users.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use crate::workspace::Workspace;
use crate::{rustup, tools};

const LIST: &str = "docs/project/api.txt";
const FOREIGN: &str = "docs/project/api-foreign.md";
/// Only a nightly compiler writes the documentation as data, which cargo-public-api reads.
const TOOLCHAIN: &str = "nightly";
const MACROS: &str = "otel-usage-macros";
const PRIMITIVES: [&str; 17] = [
    "bool", "char", "f32", "f64", "i128", "i16", "i32", "i64", "i8", "isize", "str", "u128", "u16",
    "u32", "u64", "u8", "usize",
];

pub(crate) fn run(check: bool) -> anyhow::Result<()> {
    let root = tools::root()?;
    if !tools::succeeds(tools::cargo(root).args(["public-api", "--version"])) {
        bail!("cargo-public-api is missing: run `cargo install cargo-public-api --locked`");
    }
    let now = read(root)?;
    let path = root.join(LIST);
    if check {
        compare(&std::fs::read_to_string(&path).context(LIST)?, &now)?;
    } else {
        std::fs::write(&path, &now).context(LIST)?;
    }
    foreign(root, &now)
}

/// Fails if the two lists differ, and prints the lines that do.
fn compare(before: &str, now: &str) -> anyhow::Result<()> {
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) =
        (before.lines().collect(), now.lines().collect());
    for line in old.difference(&new) {
        println!("- {line}");
    }
    for line in new.difference(&old) {
        println!("+ {line}");
    }
    ensure!(
        before == now,
        "the public API differs from {LIST}: run `cargo xtask api` to accept it"
    );
    Ok(())
}

/// Returns the API of each library, without what the compiler implements for every type or what is derived.
fn read(root: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    // The macro has no types. The library shows its name.
    for package in Workspace::read(root)?.published().filter(|package| package.name != MACROS) {
        let mut command = rustup::cargo(root, TOOLCHAIN)?;
        command.args(["public-api", "-sss", "--all-features", "--package", &package.name]);
        let what = format!("reading the public API of {}", package.name);
        let list = tools::watched(&what, || tools::output(&mut command))?;
        text += &format!("# {}\n{list}", package.name);
    }
    Ok(text)
}

/// Returns the path of a type without the method or constant behind it. Primitive types have no path.
fn type_name(path: &str) -> Option<&str> {
    let path = path.trim_matches(':');
    let start = path.find("::")?;
    let is_module = |c: char| c.is_ascii_lowercase();
    if !path.starts_with(is_module) || PRIMITIVES.contains(&path.get(..start)?) {
        return None;
    }
    let mut end = start;
    for part in path.get(start + 2..)?.split("::") {
        end += 2 + part.len();
        if !part.starts_with(is_module) {
            break;
        }
    }
    path.get(..end)
}

/// Fails if the API names a type of another crate without an entry in [`FOREIGN`], or if an entry is not needed.
fn foreign(root: &Path, api: &str) -> anyhow::Result<()> {
    let own: BTreeSet<String> = Workspace::read(root)?
        .published()
        .map(|package| package.name.replace('-', "_"))
        .chain(["alloc", "core", "std"].map(str::to_owned))
        .collect();
    let found: BTreeSet<&str> = api
        .split(|c: char| !c.is_alphanumeric() && !"_:".contains(c))
        .filter_map(type_name)
        .filter(|name| !own.contains(name.split("::").next().unwrap_or_default()))
        .collect();
    let text = std::fs::read_to_string(root.join(FOREIGN)).context(FOREIGN)?;
    let listed: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .filter(|(_, reason)| !reason.trim_matches([' ', '|']).is_empty())
        .map(|(name, _)| name)
        .collect();
    let missing: Vec<_> = found.difference(&listed).collect();
    let unused: Vec<_> = listed.difference(&found).collect();
    ensure!(
        missing.is_empty() && unused.is_empty(),
        "{FOREIGN} has no entry with a reason for {missing:?}, and entries for {unused:?} are not needed"
    );
    Ok(())
}
