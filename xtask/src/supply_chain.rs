//! Checks licences, sources and banned crates of all dependencies against `deny.toml`, by cargo-deny.
//!
//! Known vulnerabilities are not checked, because their database changes without a change here: run
//! `cargo deny check advisories` for them.

use anyhow::bail;

use crate::tools;

pub(crate) fn check() -> anyhow::Result<()> {
    let root = tools::root()?;
    if !tools::succeeds(tools::cargo(root).args(["deny", "--version"])) {
        bail!(
            "cargo-deny is missing: run `cargo install cargo-deny --locked`, which takes minutes"
        );
    }
    let rules = ["bans", "licenses", "sources"];
    tools::run(
        tools::cargo(root)
            .args(["deny", "--locked", "--workspace", "--all-features", "check"])
            .args(rules),
        "a dependency breaks a rule of deny.toml: replace the dependency, or change the rule and say why",
    )
}
