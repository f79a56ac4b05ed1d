//! A plain program that behaves like an engine under a filter that kills it for any trace it leaves.
//!
//! Arguments: the contract's id (`vllm/current`, `vllm/0.4.0`, `lmcache/1`, `lmcache/doc`, or `own` for an
//! engine that the library does not know), and options:
//!
//! - `--consent off|local`: the consent that the engine itself sets in the builder;
//! - `--network-only`, `--files-only`, `--processes-only`: kill for that part alone;
//! - `--no-filter`: no filter, so that a trace of system calls can be taken instead;
//! - `--stay URL`: no filter either, and an engine that is on: it reports once to a server that cannot be reached,
//!   and lives until its standard input ends.
//!
//! It ends with exit status 0 and one line: `silent consent=off because <switch>`, or `alive consent=..` if
//! collection was not off. Or it dies by SIGSYS. It has no test harness, because the filter would take the
//! harness' threads and files for ours.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program; its output is its answer"
)]

mod engine;
#[cfg(target_os = "linux")]
mod filter;
#[cfg(not(target_os = "linux"))]
mod filter {
    //! There is no seccomp here: only `--no-filter` works.

    /// Parts of the filter.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Part {
        Files,
        Network,
        Processes,
    }

    impl Part {
        pub(crate) const ALL: &[Self] = &[Self::Files, Self::Network, Self::Processes];
    }

    pub(crate) fn install(parts: &[Part]) -> Result<(), Box<dyn std::error::Error>> {
        if parts.is_empty() { Ok(()) } else { Err("seccomp filters exist on Linux only".into()) }
    }
}

use std::error::Error;
use std::process::ExitCode;

use filter::Part;
use otel_usage::{Consent, Contract};

const USAGE: &str = "usage: optout <contract id | own> [--consent off|local] \
     [--network-only | --files-only | --processes-only | --no-filter | --stay URL]";

struct Arguments {
    contract: Contract,
    consent: Option<Consent>,
    parts: &'static [Part],
    stay: Option<String>,
}

fn main() -> ExitCode {
    let Some(arguments) = arguments(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("optout: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    // The filter comes first. From here on a forbidden call ends the process.
    filter::install(arguments.parts)?;
    if let Some(url) = &arguments.stay {
        return Ok(engine::stay(&arguments.contract, url)?);
    }
    let decision = engine::run(&arguments.contract, arguments.consent)?;
    let word = if decision.consent == Consent::Off { "silent" } else { "alive" };
    println!("{word} consent={} because {}", decision.consent.as_str(), decision.because);
    Ok(())
}

fn arguments(mut words: impl Iterator<Item = String>) -> Option<Arguments> {
    let contract = engine::contract(&words.next()?)?;
    let mut arguments = Arguments { contract, consent: None, parts: Part::ALL, stay: None };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--consent" => {
                arguments.consent = Some(match words.next()?.as_str() {
                    "off" => Consent::Off,
                    "local" => Consent::Local,
                    _ => return None,
                });
            }
            "--files-only" => arguments.parts = &[Part::Files],
            "--network-only" => arguments.parts = &[Part::Network],
            "--no-filter" => arguments.parts = &[],
            "--stay" => {
                arguments.parts = &[];
                arguments.stay = Some(words.next()?);
            }
            "--processes-only" => arguments.parts = &[Part::Processes],
            _ => return None,
        }
    }
    Some(arguments)
}
