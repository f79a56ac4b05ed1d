//! An engine that is on and cannot reach its server: three hours of it, with a clock that runs faster.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::sandbox::Sandbox;
use super::{Home, ON, bold, green, red};
use crate::tools;

/// How much faster the engine's clock runs. Its time limits shrink with it: at ten times this pace no look-up of a name
/// would end in time.
const HURRY: f64 = 360.0;

/// The time that is shown, by the engine's clock. Unit: hours.
const HOURS: u64 = 3;

/// The real time of an hour. Unit: seconds.
const HOUR: u64 = 10;

/// The reserved name, which no name server knows.
const SERVER: &str = "http://stats.invalid:8080";

pub(super) fn show(sandbox: &Sandbox, program: &Path, work: &Path) -> anyhow::Result<()> {
    if !sandbox.has_no_network() {
        println!("not shown: without namespaces the engine might have a network");
        return Ok(());
    }
    let library = work.join("hurry.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/demo/hurry.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"])
        .arg(&library)
        .args([source, "-ldl"])
        .status();
    if !built.is_ok_and(|status| status.success()) {
        return tools::skip("no C compiler `cc` builds the clock that runs faster");
    }
    println!(
        "An engine that is on, in the same sandbox, for {HOURS} hours by a clock that runs {HURRY} times as fast.\n\
         It reports to {SERVER}; each attempt looks that name up.\n"
    );
    let home = Home::new(work, &ON)?;
    let trace = work.join("trace");
    let preload = format!("LD_PRELOAD={}", library.display());
    let options = ["-ttt", "-e", "trace=execve,connect", "-E", &preload, "-E", "HURRY=360"];
    let mut command = sandbox.command(&trace, &options, &home.0, program);
    command.args(["vllm/current", "--stay", SERVER]).env("OTEL_USAGE_MODE", "on");
    let mut engine = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    tools::watched(&format!("{HOURS} hours in {} seconds", HOURS * HOUR), || {
        thread::sleep(Duration::from_secs(HOURS * HOUR));
    });
    drop(engine.stdin.take());
    let output = engine.wait_with_output()?;
    ensure!(output.status.success(), "the engine failed: {:?}", output.stderr);
    let attempts = attempts(&fs::read_to_string(&trace)?, program)?;

    println!("{}", bold(&format!("{:>7}  {:<22} by the engine's clock", "attempt", "after")));
    for (number, hours) in attempts.iter().enumerate() {
        let when =
            if *hours < 1.0 { format!("{:.0} min", hours * 60.0) } else { format!("{hours:.1} h") };
        println!("{:>7}  {when}", number + 1);
    }
    println!("\nWhat the engine was told:");
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        println!("  {line}");
    }
    let first = attempts.iter().filter(|hours| **hours < 1.0).count();
    let all = attempts.len();
    let good = first <= 3 && all == first;
    let verdict =
        format!("{first} attempts in the first hour, {} in the two hours after it", all - first);
    println!("\n{}", if good { green(&verdict) } else { red(&verdict) });
    ensure!(
        good && first > 0,
        "there should be three in the first hour, and the next one after a day"
    );
    Ok(())
}

/// Returns the time of each attempt since the start of the program, by its own clock. Unit: hours.
fn attempts(trace: &str, program: &Path) -> anyhow::Result<Vec<f64>> {
    let started = format!("execve(\"{}\"", program.display());
    let time = |line: &str| line.split_whitespace().nth(1)?.parse::<f64>().ok();
    let begun = trace.lines().find(|line| line.contains(&started)).and_then(time);
    let begun = begun.context("the trace does not show the program")?;
    // Each attempt has a thread, which asks each name server, mostly several times.
    let mut threads = BTreeSet::new();
    let asks = trace.lines().filter(|line| line.contains("connect(") && line.contains("AF_INET"));
    let first = asks.filter(|line| threads.insert(line.split_whitespace().next()));
    Ok(first.filter_map(time).map(|at| (at - begun) * HURRY / 3600.0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_told_by_the_clock_of_the_engine() {
        let trace = "\
7 100.0 execve(\"/usr/bin/env\", []) = 0
7 100.5 execve(\"/w/optout\", []) = 0
8 101.0 connect(3, {sa_family=AF_UNIX, sun_path=\"/run/nscd\"}, 110) = -1 ENOENT
8 101.5 connect(3, {sa_family=AF_INET, sin_port=htons(53)}, 16) = -1 ENETUNREACH
8 101.6 connect(3, {sa_family=AF_INET6, sin6_port=htons(53)}, 28) = -1 ENETUNREACH
9 125.5 connect(3, {sa_family=AF_INET, sin_port=htons(53)}, 16) = -1 ENETUNREACH
";
        assert_eq!(attempts(trace, Path::new("/w/optout")).unwrap(), [0.1, 2.5]);
    }
}
