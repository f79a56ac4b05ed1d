//! The closed-world property, for as many random worlds as one has time for.
//!
//! In: a number of cases. Out: nothing, or the world that broke it, made as small as it gets. Its seed is in
//! `tests/it/closed_world.seeds` then, which every later run tries first: commit it with the mend.

use anyhow::ensure;

use crate::tools;

/// The property; the other tests of the closed world have nothing to gain from more cases.
const PROPERTY: &str =
    "closed_world::random_resources_and_spans_give_the_contracts_keys_and_nothing_else";

pub(crate) fn run(cases: u32) -> anyhow::Result<()> {
    let passed = tools::cargo(tools::root()?)
        .args(["test", "--release", "--locked", "--package", "otel-usage", "--test", "it", "--"])
        .args(["--exact", PROPERTY])
        .env("OTEL_USAGE_TEST_CASES", cases.to_string())
        .status()?;
    ensure!(passed.success(), "see the seed in tests/it/closed_world.seeds, and commit it");
    println!("{cases} random worlds, and nothing left them that is not in a contract");
    Ok(())
}
