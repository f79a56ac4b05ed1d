//! Prints the accelerators of this machine as the detectors find them, one value a line.
//! `scripts/check-gpu.sh` compares these lines with other tools. Nothing is sent.
//!
//! ```sh
//! cargo run --example accelerators
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use otel_usage::detectors::{Machine, probe};
use otel_usage::settings::Env;

fn main() {
    let facts = probe(&Machine::live(Env::of_machine().pairs()), true, &mut |_| ());
    let found = facts.accelerators;
    let number = |number: Option<i64>| number.map(|number| number.to_string());
    let found = found.as_ref();
    let lines = [
        ("source", found.map(|found| found.source.as_str().to_owned())),
        ("count", found.and_then(|found| number(found.count))),
        ("name", found.and_then(|found| found.name.clone())),
        ("memory", found.and_then(|found| number(found.memory_bytes))),
        ("mixed", found.and_then(|found| found.mixed).map(|mixed| mixed.to_string())),
        ("driver", found.and_then(|found| found.driver_version.clone())),
        ("driver_cuda", found.and_then(|found| found.driver_cuda.clone())),
    ];
    for (name, value) in lines {
        println!("{name}={}", value.unwrap_or_else(|| "unknown".to_owned()));
    }
    // A CUDA context would load this library.
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    println!("libcuda={}", if maps.contains("libcuda") { "loaded" } else { "not loaded" });
}
