//! What counting costs an engine's hot path.
//!
//! In: a contract with a counter, a gauge and a histogram at intervals. Out: the time of each call against a
//! bare atomic addition in the same run (goal: below 5 ns), the same when collection is off, and two threads
//! at once: on one counter, and on a counter each.
//!
//! ```sh
//! cargo bench --bench counters
//! ```

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod support;

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};

use otel_usage::schema::lmcache::usage::{
    L1_BYTES_USED, LIFESPAN_MINUTES, TOKENS_HIT, TOKENS_STORED,
};
use otel_usage::schema::{Contract, lmcache};
use otel_usage::{Counter, Env, Gauge, Histogram, Usage};
use support::{Case, Times};

type Failure = Box<dyn std::error::Error>;

const ROUNDS: usize = 200;

/// Calls of one thread in one round of two: some milliseconds.
const TOGETHER: u64 = 1_000_000;

/// A number with a cache line to itself, as each counter has.
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
        ("HOME", "/nonexistent"),
        ("OTEL_USAGE_MODE", mode),
        ("OTEL_USAGE_EXPORTERS", "none"),
    ]);
    let usage = Usage::builder(contract).with_sample_data().with_environment(environment);
    Ok(usage.with_messages(|_, _| {}).init()?)
}

/// One thread that has the instruments to itself.
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

/// Two threads at once.
fn together(on: &Usage) {
    let (hit, stored) = (&on.counter(TOKENS_HIT), &on.counter(TOKENS_STORED));
    let (one, other) = (&Line::default(), &Line::default());
    let bare = |line: &Line| line.add(black_box(7));
    let ours = |counter: &Counter| counter.add(black_box(7));
    let mut times = vec![Times::default(); 6];
    for _ in 0..ROUNDS {
        let round = [
            two(one, None, bare),
            two(one, Some(other), bare),
            two(one, Some(one), bare),
            two(hit, None, ours),
            two(hit, Some(stored), ours),
            two(hit, Some(hit), ours),
        ];
        for (times, time) in times.iter_mut().zip(round) {
            times.0.push(time);
        }
    }
    println!("\nTwo threads: wall time of a round by the calls of one thread");
    println!("  {:<44} {:>10} {:>10} {:>9}", "", "median ns", "least ns", "ratio");
    for (name, of, place) in [
        ("atomic addition, one thread", 0, 0),
        ("  two threads, a number each", 0, 1),
        ("  two threads, the same number", 0, 2),
        ("Counter::add, one thread", 3, 3),
        ("  two threads, a counter each", 3, 4),
        ("  two threads, the same counter", 3, 5),
    ] {
        let (Some(floor), Some(own)) = (times.get(of), times.get(place)) else { continue };
        println!(
            "  {name:<44} {:>10.1} {:>10.1} {:>9.2}",
            own.median(),
            own.least(),
            own.ratio(floor)
        );
    }
}

/// Wall time per call while this thread adds to `one` and, if it is there, another to `other`.
#[expect(clippy::cast_precision_loss, reason = "figures of three digits are printed")]
fn two<T: Sync>(one: &T, other: Option<&T>, add: impl Fn(&T) + Sync) -> f64 {
    let many = |target: &T| (0..TOGETHER).for_each(|_| add(black_box(target)));
    let threads = 1_usize.saturating_add(usize::from(other.is_some()));
    let begin = &Barrier::new(threads);
    std::thread::scope(|scope| {
        if let Some(other) = other {
            scope.spawn(move || {
                begin.wait();
                many(other);
            });
        }
        begin.wait();
        let before = support::machine_time();
        many(one);
        support::machine_time().saturating_sub(before) as f64 / TOGETHER as f64
    })
}
