//! Runs the closed-world property with many more random cases than the tests do.
//!
//! A failure adds its seed to `tests/it/closed_world.seeds`, and every later test run tries that seed first.

use crate::tools;

/// The only random test of the closed world.
const PROPERTY: &str = "closed_world::random_resources_and_spans_give_only_the_contracts_keys";

pub(crate) fn run(cases: u32) -> anyhow::Result<()> {
    let mut test = tools::cargo(tools::root()?);
    test.args(["test", "--release", "--locked", "--package", "otel-usage", "--test", "it", "--"])
        .args(["--exact", PROPERTY])
        .env("OTEL_USAGE_TEST_CASES", cases.to_string());
    tools::watched(&format!("{cases} random cases"), || {
        tools::run(
            &mut test,
            "something left that no contract lists: correct it, and commit the seed in \
             tests/it/closed_world.seeds with the correction",
        )
    })?;
    println!("in {cases} random cases nothing left that is not in a contract");
    Ok(())
}
