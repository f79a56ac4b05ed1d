//! The probe as the library runs it, so many times.
//!
//! In: a number of repetitions. Out: nothing; `cargo xtask probe-gate` counts its instructions and
//! system calls at N and 3N, so that the start of the process cancels out.

#![expect(
    clippy::disallowed_methods,
    clippy::arithmetic_side_effects,
    reason = "a program that measures: it takes the environment as the library's caller does"
)]

use std::hint::black_box;
use std::process::ExitCode;

use otel_usage::probe::{ENVIRONMENT, Facts, Machine, probe};

fn main() -> ExitCode {
    let Some(times) = std::env::args().nth(1).and_then(|times| times.parse::<u32>().ok()) else {
        return ExitCode::FAILURE;
    };
    // The library reads the environment once, on the initialising thread; that is not the probe.
    let environment: Vec<(String, String)> = ENVIRONMENT
        .iter()
        .filter_map(|&name| Some((name.to_owned(), std::env::var(name).ok()?)))
        .collect();
    for _ in 0..times {
        let machine = Machine::live(environment.iter().cloned());
        // After each step the worker keeps what is known, in case a later one hangs.
        let mut steps = 0_u32;
        let mut kept = Facts::default();
        let facts = probe(&machine, true, &mut |step| {
            steps += 1;
            kept.learn(step.facts);
        });
        kept = facts;
        black_box((kept, steps, uuid::Uuid::new_v4()));
    }
    ExitCode::SUCCESS
}
