//! The harness of the benches: a CPU clock, cases that take turns, and ratios.
//!
//! A bench has cases that do the same job in different ways. The harness prints the time per call of each
//! case and its ratio to the first case. The machine may be busy with other work. So the clock is the CPU
//! time of the thread, the cases take turns in each round, and the ratio is the result, because it repeats
//! better than nanoseconds. `criterion` and `divan` time each case by itself with the wall clock, so they
//! do not serve here.

// Each bench uses a part of this file.
#![allow(dead_code, reason = "shared between benches")]
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::time::{Duration, Instant};

/// Shortest time of one case in a round. In a shorter time the cost of the clock would be too large.
const ROUND: u64 = 2_000_000;

/// Returns whether `cargo bench` started this process. `cargo test --all-targets` starts benches too, but
/// only to see that they build.
pub(crate) fn is_bench() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// Returns the value after `--name` on the command line.
pub(crate) fn option(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1)
}

fn clock(id: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[expect(
        unsafe_code,
        reason = "the standard library has no CPU clock; SAFETY: `time` is a valid place for the answer"
    )]
    let status = unsafe { libc::clock_gettime(id, &raw mut time) };
    assert_eq!(status, 0, "the clock is there");
    let time =
        Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0));
    nanos(time)
}

/// Returns the CPU time of this thread. Unit: nanoseconds.
pub(crate) fn thread_cpu() -> u64 {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Returns the CPU time of this process with all its threads. Unit: nanoseconds.
pub(crate) fn process_cpu() -> u64 {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// Returns the monotonic time, which is the same in every process of this machine. Unit: nanoseconds.
pub(crate) fn machine_time() -> u64 {
    clock(libc::CLOCK_MONOTONIC)
}

pub(crate) fn nanos(time: Duration) -> u64 {
    time.as_nanos().try_into().unwrap_or(u64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// One way to do the job.
pub(crate) struct Case<'a> {
    pub(crate) name: &'a str,
    /// Does the job this number of times.
    pub(crate) run: Box<dyn FnMut(u64) + 'a>,
}

impl<'a> Case<'a> {
    pub(crate) fn new(name: &'a str, mut call: impl FnMut() + 'a) -> Self {
        Self { name, run: Box::new(move |calls| (0..calls).for_each(|_| call())) }
    }
}

/// The times of one case in the order of the rounds. Unit: nanoseconds per call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times(pub(crate) Vec<f64>);

impl Times {
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index into a short list"
        )]
        let index = (part * sorted.len().saturating_sub(1) as f64).round() as usize;
        sorted.get(index).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    pub(crate) fn least(&self) -> f64 {
        self.quantile(0.0)
    }

    /// Returns the median ratio of this case to `floor` in the same round.
    pub(crate) fn ratio(&self, floor: &Self) -> f64 {
        let ratios = self.0.iter().zip(&floor.0).map(|(own, floor)| own / floor);
        Self(ratios.collect()).median()
    }
}

/// Measures the CPU time per call of each case. In each of the `rounds`, every case has its turn.
pub(crate) fn rounds(cases: &mut [Case<'_>], rounds: usize) -> Vec<Times> {
    let calls: Vec<u64> = cases.iter_mut().map(calls_per_round).collect();
    let mut times = vec![Times::default(); cases.len()];
    for _ in 0..rounds {
        for ((case, calls), times) in cases.iter_mut().zip(&calls).zip(&mut times) {
            times.0.push(per_call(case, *calls));
        }
    }
    times
}

#[expect(clippy::cast_precision_loss, reason = "figures of three digits are printed")]
fn per_call(case: &mut Case<'_>, calls: u64) -> f64 {
    let before = thread_cpu();
    (case.run)(calls);
    thread_cpu().saturating_sub(before) as f64 / calls as f64
}

/// Returns the number of calls that fill a round. It warms the case up at the same time.
fn calls_per_round(case: &mut Case<'_>) -> u64 {
    let mut calls = 16_u64;
    loop {
        let before = thread_cpu();
        (case.run)(calls);
        if thread_cpu().saturating_sub(before) >= ROUND {
            return calls;
        }
        calls = calls.saturating_mul(2);
    }
}

/// Prints a table of `cases` with ratios to the first of them.
pub(crate) fn print(title: &str, cases: &[Case<'_>], times: &[Times]) {
    println!("\n{title}");
    println!(
        "  {:<44} {:>10} {:>10} {:>9} {:>9}",
        "CPU per call", "median ns", "least ns", "ratio", "of least"
    );
    let Some(floor) = times.first() else { return };
    for (case, times) in cases.iter().zip(times) {
        println!(
            "  {:<44} {:>10.1} {:>10.1} {:>9.3} {:>9.3}",
            case.name,
            times.median(),
            times.least(),
            times.ratio(floor),
            times.least() / floor.least(),
        );
    }
}

/// Returns a command that starts this program again with these arguments.
#[expect(clippy::disallowed_methods, reason = "a set-up that is process-wide needs a process")]
pub(crate) fn again(arguments: &[&str]) -> std::io::Result<std::process::Command> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.arg("--bench").args(arguments);
    Ok(command)
}
