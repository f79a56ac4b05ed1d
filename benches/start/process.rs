//! Measures the first record of a process, in processes of its own, beside an empty one.

use std::collections::BTreeMap;
use std::time::Duration;

use otel_usage::schema::Contract;
use otel_usage::{Flush, UsageRecord};
use otel_usage_testing::receiver::Receiver;

use super::support::{self, Times};
use super::turns::timed;
use super::{Failure, PATIENCE, PROCESSES, usage};

/// The figures that a child process prints, and the times at which its messages arrived.
#[derive(Default)]
struct Lives(BTreeMap<String, Times>);

impl Lives {
    fn add(&mut self, name: &str, value: f64) {
        self.0.entry(name.to_owned()).or_default().0.push(value);
    }

    fn median(&self, name: &str) -> f64 {
        self.0.get(name).map_or(f64::NAN, Times::median)
    }
}

pub(super) fn first_record() -> Result<(), Failure> {
    let server = Receiver::start();
    let kinds = [("empty", 0_usize), ("vllm", 1), ("lmcache", 3)];
    let mut lives: BTreeMap<&str, Lives> = BTreeMap::new();
    for _ in 0..PROCESSES {
        for (kind, messages) in kinds {
            let before = children_cpu();
            let mut command = support::again(&["--child", kind, "--url", &server.url()])?;
            let child = command.stdout(std::process::Stdio::piped()).spawn()?;
            for _ in 0..messages {
                server.requests.recv_timeout(PATIENCE)?;
            }
            let arrived = support::machine_time();
            let output = child.wait_with_output()?;
            let life = lives.entry(kind).or_default();
            life.add("process", children_cpu().saturating_sub(before) as f64);
            for line in String::from_utf8(output.stdout)?.lines() {
                let (name, value) = line.split_once(' ').ok_or("a name and a number")?;
                let value: u64 = value.parse()?;
                if name == "begun" {
                    life.add("arrived", arrived.saturating_sub(value) as f64);
                } else {
                    life.add(name, value as f64);
                }
            }
        }
    }
    println!("\nThe first record of a process, medians of {PROCESSES} processes of each case");
    println!("  {:<46} {:>10} {:>10} {:>10}", "", "empty", "vLLM", "LMCache");
    let row = |title: &str, name: &str, unit: f64| {
        let values =
            kinds.map(|(kind, _)| lives.get(kind).map_or(f64::NAN, |l| l.median(name)) / unit);
        println!("  {title:<46} {:>10.3} {:>10.3} {:>10.3}", values[0], values[1], values[2]);
    };
    row("messages to the server", "messages", 1.0);
    row("init, wall ms", "init", 1e6);
    row("record(report), wall ms", "start", 1e6);
    row("both, CPU of the engine's thread ms", "caller", 1e6);
    row("init to the last message's arrival, wall ms", "arrived", 1e6);
    row("init to the last answer, CPU of all threads ms", "cpu", 1e6);
    row("whole process, CPU ms", "process", 1e6);
    row("peak resident memory, MiB", "memory", 1024.0);
    row("threads while it waits", "threads", 1.0);
    row("wake-ups of our thread in 1 s of waiting", "wakeups", 1.0);
    Ok(())
}

/// Is the process without reporting.
pub(super) fn be_empty() -> Result<(), Failure> {
    say("messages", 0);
    life_signs()
}

fn say(name: &str, value: u64) {
    println!("{name} {value}");
}

/// Is the process that reports once.
pub(super) fn report_once(
    contract: &Contract,
    url: &str,
    report: impl UsageRecord,
) -> Result<(), Failure> {
    let cpu = support::process_cpu();
    let begun = support::machine_time();
    let (usage, init, init_cpu) = timed(|| usage(contract, "server", url));
    let usage = usage?;
    let ((), start, start_cpu) = timed(|| usage.record(report));
    if usage.flush(PATIENCE) != Flush::Settled {
        return Err("the server did not answer".into());
    }
    let cpu = support::process_cpu().saturating_sub(cpu);
    let delivered: u64 = usage.stats().exporters.iter().map(|exporter| exporter.delivered).sum();
    say("messages", delivered);
    say("begun", begun);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole nanoseconds"
    )]
    for (name, value) in [("init", init), ("start", start), ("caller", init_cpu + start_cpu)] {
        say(name, value as u64);
    }
    say("cpu", cpu);
    life_signs()?;
    let before = wakeups();
    #[expect(clippy::disallowed_methods, reason = "idleness is what is measured")]
    std::thread::sleep(Duration::from_secs(1));
    say("wakeups", wakeups().saturating_sub(before));
    Ok(())
}

/// Prints the peak memory and the number of threads, which the kernel knows.
fn life_signs() -> Result<(), Failure> {
    for line in std::fs::read_to_string("/proc/self/status")?.lines() {
        let number = || line.split_whitespace().nth(1).and_then(|number| number.parse().ok());
        if line.starts_with("VmHWM:") {
            say("memory", number().unwrap_or(0));
        } else if line.starts_with("Threads:") {
            say("threads", number().unwrap_or(0));
        }
    }
    Ok(())
}

/// Returns how often the other threads of the process have gone to sleep.
fn wakeups() -> u64 {
    let own = std::process::id().to_string();
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else {
        return 0;
    };
    threads
        .flatten()
        .filter(|thread| thread.file_name().to_string_lossy() != own)
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("status")).ok())
        .filter_map(|status| {
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .sum()
}

/// Returns the CPU time of the child processes that have ended. Unit: nanoseconds.
fn children_cpu() -> u64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    #[expect(
        unsafe_code,
        reason = "the standard library does not say it; SAFETY: `usage` is a valid place for the \
                  answer, and all zeroes are a valid answer"
    )]
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr());
        usage.assume_init()
    };
    [usage.ru_utime, usage.ru_stime]
        .iter()
        .map(|time| {
            let micros = time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_usec);
            u64::try_from(micros).unwrap_or(0).saturating_mul(1000)
        })
        .sum()
}
