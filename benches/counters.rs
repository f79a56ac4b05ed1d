//! Measures what the instruments cost the hot path of an engine.
//!
//! The contract has a counter, a gauge and a histogram. The bench compares each call with a bare atomic
//! addition in the same run (goal: below 5 ns), also if collection is off, and if two threads use the same
//! counter or a counter each.
//!
//! ```sh
//! cargo bench --bench counters
//! ```

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod support;

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use otel_usage::Usage;
use otel_usage::instruments::{Counter, Gauge, Histogram};
use otel_usage::schema::lmcache::usage::{
    L1_BYTES_USED, LIFESPAN_MINUTES, TOKENS_HIT, TOKENS_STORED,
};
use otel_usage::schema::{Contract, lmcache};
use otel_usage::settings::Env;
use support::{Case, Times};

type Failure = Box<dyn std::error::Error>;

const ROUNDS: usize = 200;

/// Number of calls of one thread in a round of two threads, which takes some milliseconds.
const TOGETHER: u64 = 1_000_000;

/// Number of calls of the other thread between two checks whether the round is over.
const BATCH: u64 = 1_000;

/// A number with its own cache line, as each counter has it.
#[derive(Default)]
#[repr(align(128))]
struct Line(AtomicU64);

impl Line {
    fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }
}

fn main() -> Result<(), Failure> {
    if !support::is_bench() {
        return Ok(());
    }
    let (on, off) = (usage(&lmcache::V1, "on")?, usage(&lmcache::V1, "off")?);
    if !on.is_enabled() || off.is_enabled() {
        return Err(format!("collection cannot be switched here: {}", on.decision().because).into());
    }
    alone(&on, &off);
    together(&on);
    Ok(())
}

fn usage(contract: &Contract, mode: &str) -> Result<Usage, Failure> {
    let environment = Env::given([
        ("HOME", "/dev/null"),
        ("OTEL_USAGE_MODE", mode),
        ("OTEL_USAGE_EXPORTERS", "none"),
    ]);
    let usage = Usage::builder(contract).with_sample_data().with_environment(environment);
    Ok(usage.on_notice(|_, _| {}).try_init()?)
}

/// Measures one thread that does not share its instruments.
fn alone(on: &Usage, off: &Usage) {
    let (floor, line) = (AtomicU64::new(0), Line::default());
    let counter = on.counter(TOKENS_HIT);
    let gauge = on.gauge(L1_BYTES_USED);
    let histogram = on.histogram(LIFESPAN_MINUTES);
    let (no_counter, no_gauge, no_histogram): (Counter, Gauge, Histogram) =
        (off.counter(TOKENS_HIT), off.gauge(L1_BYTES_USED), off.histogram(LIFESPAN_MINUTES));
    let cases = &mut [
        Case::new("a bare atomic addition", || {
            black_box(&floor).fetch_add(black_box(7), Ordering::Relaxed);
        }),
        Case::new("the same on a cache line of its own", || black_box(&line).add(black_box(7))),
        Case::new("Counter::add", || black_box(&counter).add(black_box(7))),
        Case::new("Gauge::set", || black_box(&gauge).set(black_box(7))),
        Case::new("Histogram::record, 15 bounds", || black_box(&histogram).record(black_box(7.0))),
        Case::new("Counter::add, off", || black_box(&no_counter).add(black_box(7))),
        Case::new("Gauge::set, off", || black_box(&no_gauge).set(black_box(7))),
        Case::new("Histogram::record, off", || black_box(&no_histogram).record(black_box(7.0))),
    ];
    let times = support::rounds(cases, ROUNDS);
    support::print("One thread", cases, &times);
}

/// Measures a call while another thread calls all the time.
fn together(on: &Usage) {
    let (hit, stored) = (&on.counter(TOKENS_HIT), &on.counter(TOKENS_STORED));
    let (one, other) = (&Line::default(), &Line::default());
    let bare = |line: &Line| line.add(black_box(7));
    let ours = |counter: &Counter| counter.add(black_box(7));
    let mut rows = [
        ("atomic addition, one thread", Times::default(), Times::default()),
        ("  beside a thread with a number of its own", Times::default(), Times::default()),
        ("  beside a thread with the same number", Times::default(), Times::default()),
        ("Counter::add, one thread", Times::default(), Times::default()),
        ("  beside a thread with a counter of its own", Times::default(), Times::default()),
        ("  beside a thread with the same counter", Times::default(), Times::default()),
    ];
    for _ in 0..ROUNDS {
        let round = [
            beside(one, None, bare),
            beside(one, Some(other), bare),
            beside(one, Some(one), bare),
            beside(hit, None, ours),
            beside(hit, Some(stored), ours),
            beside(hit, Some(hit), ours),
        ];
        for ((_, times, shares), (time, share)) in rows.iter_mut().zip(round) {
            times.0.push(time);
            shares.0.push(share);
        }
    }
    println!("\nTwo threads: CPU of one; the other's calls meanwhile, for each call of this one");
    println!(
        "  {:<44} {:>10} {:>10} {:>10} {:>9}",
        "CPU per call", "median ns", "p90 ns", "p90 ratio", "other's"
    );
    let Some((_, floor, _)) = rows.first() else { return };
    for (name, times, shares) in &rows {
        // Two threads on one processor do not disturb each other, so the upper quantile counts.
        let slow = times.quantile(0.9);
        println!(
            "  {name:<44} {:>10.1} {slow:>10.1} {:>10.2} {:>9.2}",
            times.median(),
            slow / floor.median(),
            shares.median(),
        );
    }
}

/// Returns the CPU time per call of this thread, which adds to `one` while another thread adds to `other`,
/// if it is given. Also returns how many calls the other thread made for each call of this one, because on
/// a busy machine it may not run.
#[expect(clippy::cast_precision_loss, reason = "figures of three digits are printed")]
fn beside<T: Sync>(one: &T, other: Option<&T>, add: impl Fn(&T) + Sync) -> (f64, f64) {
    let add = &add;
    let many = |target: &T, calls: u64| (0..calls).for_each(|_| add(black_box(target)));
    let (done, calls) = (&AtomicBool::new(false), &Line::default());
    let begin = &Barrier::new(1_usize.saturating_add(usize::from(other.is_some())));
    let nanos = std::thread::scope(|scope| {
        if let Some(other) = other {
            scope.spawn(move || {
                begin.wait();
                while !done.load(Ordering::Relaxed) {
                    many(other, BATCH);
                    calls.add(BATCH);
                }
            });
        }
        begin.wait();
        let before = support::thread_cpu();
        many(one, TOGETHER);
        let nanos = support::thread_cpu().saturating_sub(before);
        done.store(true, Ordering::Relaxed);
        nanos
    });
    let calls = calls.0.load(Ordering::Relaxed);
    (nanos as f64 / TOGETHER as f64, calls as f64 / TOGETHER as f64)
}
