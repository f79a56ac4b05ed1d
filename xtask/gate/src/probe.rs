//! Probes this machine as the library does, a given number of times.
//!
//! `cargo xtask probe-gate` counts instructions and system calls of N and of 3N repetitions, so that
//! the start of the process cancels out.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "a program that measures; it has no library's duties"
)]

use std::hint::black_box;
use std::process::ExitCode;

use otel_usage::detectors::{Facts, Machine, probe};
use otel_usage::settings::Env;

fn main() -> ExitCode {
    let Some(times) = std::env::args().nth(1).and_then(|times| times.parse::<u32>().ok()) else {
        return ExitCode::FAILURE;
    };
    // Reading the environment is not a part of the probe, because the initialising thread does it once.
    let environment = Env::of_machine();
    for _ in 0..times {
        let machine = Machine::live(environment.pairs());
        // The worker keeps the facts after each step, because a later step may hang.
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
