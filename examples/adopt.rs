//! Plays an engine that has moved from a Python original to this library, and prints what telemetry costs
//! its process.
//!
//! The engine plays a scenario in which original and library are compared.
//!
//! ```sh
//! cargo run --example adopt                                  # a scenario and a server of its own
//! cargo run --example adopt -- SCENARIO.json http://127.0.0.1:8080
//! cargo xtask demo adopt                                     # beside the original
//! ```
//!
//! The data is made up, so a server on another machine is refused. `ENGINE_LIFE` chooses when the engine
//! ends: after its scenario (`whole`), when its first message is delivered (`start`), or when its standard
//! input ends, even if messages wait (`cut`).

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "an example shows what happens; it measures, and is told its scenario from outside"
)]

use std::io::Read as _;
use std::time::{Duration, Instant};

use otel_usage::Flush;
use otel_usage_testing::receiver::Receiver;
use otel_usage_testing::scenario::Engine;
use serde_json::Value;

const SCENARIO: &str = include_str!("../tests/interop/wire/scenarios/lmcache-remote.json");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(url)) = (arguments.next(), arguments.next()) else {
        return alone();
    };
    let scenario: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let (begun, before) = (Instant::now(), cpu_seconds());
    let engine = Engine::start(&scenario, std::env::vars(), &url)?;
    let life = std::env::var("ENGINE_LIFE").unwrap_or_else(|_| "whole".to_owned());
    if life == "whole" {
        engine.run();
        engine.usage.finish_detached();
    }
    if life == "cut" {
        std::io::stdin().read_to_end(&mut Vec::new())?;
    } else if engine.usage.flush(Duration::from_secs(20)) != Flush::Settled {
        return Err(format!("not delivered: {:?}", engine.usage.stats()).into());
    }
    let (cpu, wall) = (cpu_seconds() - before, begun.elapsed().as_secs_f64());
    println!("{{\"cpu_seconds\": {cpu}, \"wall_seconds\": {wall}}}");
    // Dropping the last handle ends the engine.
    Ok(())
}

/// Plays a scenario with a server in this process and a temporary home.
fn alone() -> Result<(), Box<dyn std::error::Error>> {
    let (server, home) = (Receiver::start(), tempfile::tempdir()?);
    let scenario: Value = serde_json::from_str(SCENARIO)?;
    let environment = [("HOME".to_owned(), home.path().display().to_string())];
    let engine = Engine::start(&scenario, environment, &server.url())?;
    let _ = engine.usage.flush(Duration::from_secs(20));
    for request in server.requests.try_iter() {
        println!("POST {}\n{}\n", request.path, request.text());
    }
    Ok(())
}

/// Returns the processor time of this process and of its children. This example starts none.
fn cpu_seconds() -> f64 {
    [libc::RUSAGE_SELF, libc::RUSAGE_CHILDREN]
        .into_iter()
        .map(|who| {
            let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
            #[expect(
                unsafe_code,
                reason = "the standard library does not say it; SAFETY: `usage` is a valid place \
                          for the answer, and all zeroes are a valid answer"
            )]
            let usage = unsafe {
                libc::getrusage(who, usage.as_mut_ptr());
                usage.assume_init()
            };
            let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
            seconds(usage.ru_utime) + seconds(usage.ru_stime)
        })
        .sum()
}
