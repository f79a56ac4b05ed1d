//! Runs the random tests much longer than the test command does.
//!
//! A failure of the closed world adds its seed to `tests/it/closed_world.seeds`, and every later test run tries that
//! seed first.

use clap::ValueEnum;

use crate::tools;

/// A test that has a long form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Random resources and spans: nothing leaves that no contract lists
    ClosedWorld,
    /// Power cuts on a simulated disk: nothing that was acknowledged is lost
    Power,
    /// Engines that are killed: nothing that was acknowledged is lost
    Kill,
    /// Records of 64 processes while the server is away: memory, threads and disk are bounded
    Crowd,
}

impl Part {
    const fn cases(self) -> u32 {
        match self {
            Self::ClosedWorld | Self::Crowd => 1_000_000,
            Self::Power => 100_000,
            Self::Kill => 1000,
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::ClosedWorld => "random worlds",
            Self::Power => "power cuts",
            Self::Kill => "killed engines",
            Self::Crowd => "records of 64 processes",
        }
    }

    /// Returns the arguments that choose the test program, and the name of the test in it.
    const fn test(self) -> (&'static [&'static str], &'static str) {
        match self {
            Self::ClosedWorld => (
                // Its cases cost the most.
                &["--release", "--test", "it"],
                "closed_world::random_resources_and_spans_give_only_the_contracts_keys",
            ),
            Self::Power => (
                &["--lib"],
                "spool::power::a_power_cut_at_any_call_loses_nothing_that_was_acknowledged",
            ),
            Self::Kill => (
                &["--test", "fleet"],
                "engines_killed_at_fifty_random_points_lose_nothing_that_a_flush_acknowledged",
            ),
            Self::Crowd => (
                &["--test", "fleet"],
                "processes_with_more_records_than_room_stay_within_their_memory_and_disk",
            ),
        }
    }

    const fn remedy(self) -> &'static str {
        match self {
            Self::ClosedWorld => {
                "something left that no contract lists: correct it, and commit the seed in \
                 tests/it/closed_world.seeds with the correction"
            }
            Self::Power => "a power cut lost a message: the text above names the seed and the call",
            Self::Kill => "a killed engine lost a message: the text above names it",
            Self::Crowd => "a bound was passed: the text above says which",
        }
    }
}

/// Runs one part, or all of them, one after the other.
pub(crate) fn run(only: Option<Part>, cases: Option<u32>) -> anyhow::Result<()> {
    for part in Part::value_variants() {
        if only.is_none_or(|only| only == *part) {
            run_part(*part, cases.unwrap_or_else(|| part.cases()))?;
        }
    }
    Ok(())
}

fn run_part(part: Part, cases: u32) -> anyhow::Result<()> {
    let (program, name) = part.test();
    let mut test = tools::cargo(tools::root()?);
    test.args(["test", "--locked", "--package", "otel-usage"])
        .args(program)
        .args(["--", "--nocapture", "--exact", name])
        .env("OTEL_USAGE_TEST_CASES", cases.to_string());
    let what = format!("{cases} {}", part.what());
    tools::watched(&what, || tools::run(&mut test, part.remedy()))?;
    println!("{what}: no finding");
    Ok(())
}
