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
    // The library reads the environment once, on the initialising thread; that is not the probe.
    let environment = Env::of_machine();
    for _ in 0..times {
        let machine = Machine::live(environment.pairs());
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
