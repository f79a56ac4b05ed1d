//! Compares the probe with its floor in user instructions and system calls, and fails beyond the limits.
//!
//! Both are programs of `xtask/gate`. Each runs N and 3N times under valgrind and strace. The difference
//! over 2N is one probe without the start of the process, and it is the same on a busy machine.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::tools;

/// Repetitions of the shorter run; the longer has three times as many.
const TIMES: u64 = 20;

/// Most user instructions of the probe, in per cent of the floor's. The probe reads any machine (a
/// copied tree, odd files, other systems), the floor only this one.
const INSTRUCTIONS_PERCENT: u64 = 145;

/// Most system calls beyond the floor's. Fallbacks may ask once more; nothing may walk a folder.
const CALLS_BEYOND: u64 = 6;

/// The floor, in two lists: the first has what every report has needed from the beginning. `all` is
/// the one that counts, because it finds as much as the probe; `xtask/gate/src/floor.rs` explains it. System calls by which `all` is longer, where nothing is
/// there to be found: `/proc/meminfo` beside `sysinfo(2)` 3; physical cores 6; own cgroup 3, and
/// its limit 3 a level; a program `file` 1 a folder of `PATH`; container 4 to 9; devices of AMD and Intel 1.
const FLOORS: [(&str, &[&str]); 2] = [("first list", &[]), ("all facts", &["all"])];

pub(crate) fn check() -> anyhow::Result<()> {
    if !cfg!(target_os = "linux") {
        return tools::skip("the gate counts on Linux");
    }
    for program in ["valgrind", "strace"] {
        if !tools::have(program) {
            return tools::skip(&format!("{program} is missing"));
        }
    }
    let root = tools::root()?;
    let built = tools::cargo(root)
        .args(["build", "--profile", "bench", "--package", "otel-usage-probe-gate", "--locked"])
        .status()?;
    ensure!(built.success(), "the gate's programs do not build");
    let folder = tools::target(root)?.join("release");
    let (probe, floor) = (folder.join("probe-gate-probe"), folder.join("probe-gate-floor"));

    if Command::new(&floor).arg("1").status()?.code() == Some(2) {
        println!("not checked: an NVIDIA driver is here, and the floor is a machine without one");
        return Ok(());
    }
    let measured = Cost::of(&probe, &[])?;
    println!("{:<12} {:>12} {:>7} {:>13} {:>11}", "", "instructions", "", "system calls", "");
    println!(
        "{:<12} {:>12} {:>7} {:>13} {:>11}",
        "probe", measured.instructions, "", measured.calls, ""
    );
    let mut last = None;
    for (name, arguments) in FLOORS {
        let floor = Cost::of(&floor, arguments)?;
        let percent = measured.instructions * 100 / floor.instructions.max(1);
        println!(
            "{name:<12} {:>12} {:>6.2}x {:>13} {:>+11}",
            floor.instructions,
            percent as f64 / 100.0,
            floor.calls,
            i128::from(measured.calls) - i128::from(floor.calls),
        );
        last = Some((floor, percent));
    }
    let (floor, percent) = last.context("no floor")?;
    if percent > INSTRUCTIONS_PERCENT {
        bail!(
            "the probe takes {percent} % of its floor's instructions, at most {INSTRUCTIONS_PERCENT} %"
        );
    }
    ensure!(
        measured.calls <= floor.calls + CALLS_BEYOND,
        "the probe makes {} system calls, its floor {} and {CALLS_BEYOND} more",
        measured.calls,
        floor.calls
    );
    Ok(())
}

/// The cost of one repetition.
struct Cost {
    instructions: u64,
    calls: u64,
}

impl Cost {
    fn of(program: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let one = |count: fn(&Path, &[&str], u64) -> anyhow::Result<u64>| {
            let (once, thrice) =
                (count(program, arguments, TIMES)?, count(program, arguments, 3 * TIMES)?);
            anyhow::Ok(thrice.saturating_sub(once) / (2 * TIMES))
        };
        Ok(Self { instructions: one(instructions)?, calls: one(calls)? })
    }
}

fn instructions(program: &Path, arguments: &[&str], times: u64) -> anyhow::Result<u64> {
    let mut command = clean("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    let output = command.arg(times.to_string()).args(arguments).output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind: {text}");
    let line = text.lines().find_map(|line| line.split_once("Collected :"));
    line.and_then(|(_, number)| number.trim().parse().ok())
        .with_context(|| format!("valgrind counts nothing: {text}"))
}

fn calls(program: &Path, arguments: &[&str], times: u64) -> anyhow::Result<u64> {
    let mut command = clean("strace");
    command.args(["-f", "-c"]).arg(program).arg(times.to_string()).args(arguments);
    let output = command.stdout(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "strace: {text}");
    let line = text.lines().find(|line| line.trim_end().ends_with(" total"));
    // Per cent, seconds, microseconds a call, calls, and errors if there are any.
    line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok())
        .with_context(|| format!("strace counts nothing: {text}"))
}

/// Creates a command with the same environment everywhere, because the probe searches `PATH`.
fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command
}
