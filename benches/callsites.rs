//! Measures what our layer costs the other spans and events of an engine.
//!
//! Each set-up has a subscriber with or without our layer. It creates, enters and drops a span (target
//! `engine`, one field), and emits an enabled event and a disabled one. The bench prints the CPU time per
//! call, and the difference to the same set-up without our layer. Goals: at most 0.5 ns if no other layer
//! listens, and at most 20 ns beside another layer.
//!
//! `tracing` remembers for the whole process whether a callsite is enabled, so each set-up runs in its own
//! process. The processes take turns.
//!
//! ```sh
//! cargo bench --bench callsites
//! ```

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod support;

use std::collections::BTreeMap;
use std::hint::black_box;

use otel_usage::schema::vllm;
use otel_usage::settings::Env;
use otel_usage::{Consent, Usage};
use support::{Case, Times};
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

type Failure = Box<dyn std::error::Error>;

/// Number of processes of each set-up.
const PROCESSES: usize = 11;

/// Number of rounds in each process.
const ROUNDS: usize = 9;

/// Each set-up, with the one that it is compared to.
const SETUPS: &[(&str, &str, &str)] = &[
    ("none", "none", "no subscriber"),
    ("ours", "none", "our layer"),
    ("off", "none", "our layer, opted out"),
    ("other", "other", "an empty layer"),
    ("other+ours", "other", "an empty layer and ours"),
    ("other+off", "other", "an empty layer and ours, opted out"),
    ("fmt", "fmt", "fmt, INFO for all"),
    ("fmt+ours", "fmt", "fmt, INFO for all, and ours"),
    ("fmt+off", "fmt", "fmt, INFO for all, and ours, opted out"),
    ("fmt-own", "fmt-own", "fmt with its own filter INFO"),
    ("fmt-own+ours", "fmt-own", "fmt with its own filter INFO, and ours"),
];

const CALLS: [&str; 3] = ["span", "event", "disabled event"];

fn main() -> Result<(), Failure> {
    if let Some(setup) = support::option("--setup") {
        return child(&setup);
    }
    if !support::is_bench() {
        return Ok(());
    }
    let mut times: BTreeMap<(&str, &str), Times> = BTreeMap::new();
    for _ in 0..PROCESSES {
        for (setup, _, _) in SETUPS {
            let output = support::again(&["--setup", setup])?.output()?;
            if !output.status.success() {
                return Err(format!("{setup}: {}", String::from_utf8_lossy(&output.stderr)).into());
            }
            let text = String::from_utf8(output.stdout)?;
            for (call, line) in CALLS.iter().zip(text.lines()) {
                times.entry((*setup, *call)).or_default().0.push(line.parse()?);
            }
        }
    }
    for call in CALLS {
        println!("\nforeign {call}");
        println!(
            "  {:<42} {:>10} {:>10} {:>11} {:>9}",
            "CPU per call", "median ns", "least ns", "added, med", "of least"
        );
        for (setup, base, title) in SETUPS {
            let (Some(own), Some(base)) = (times.get(&(*setup, call)), times.get(&(*base, call)))
            else {
                continue;
            };
            let added = own.0.iter().zip(&base.0).map(|(own, base)| own - base);
            println!(
                "  {title:<42} {:>10.2} {:>10.2} {:>+11.2} {:>+9.2}",
                own.median(),
                own.least(),
                Times(added.collect()).median(),
                own.least() - base.least(),
            );
        }
    }
    Ok(())
}

/// Runs one set-up and prints a line for each of [`CALLS`]. Unit: nanoseconds.
fn child(setup: &str) -> Result<(), Failure> {
    let usage = Usage::builder(&vllm::CURRENT)
        .with_sample_data()
        .with_consent(if setup.ends_with("off") { Consent::Off } else { Consent::Granted })
        .with_environment(Env::given([
            ("OTEL_USAGE_MODE", "on"),
            ("OTEL_USAGE_EXPORTERS", "none"),
            ("HOME", "/dev/null"),
        ]))
        .try_init()?;
    let registry = tracing_subscriber::registry;
    match setup {
        "none" => {}
        "ours" | "off" => install(registry().with(usage.layer()))?,
        "other" => install(registry().with(Empty))?,
        "other+ours" | "other+off" => install(registry().with(Empty).with(usage.layer()))?,
        "fmt" => install(registry().with(LevelFilter::INFO).with(fmt()))?,
        "fmt+ours" | "fmt+off" => {
            install(registry().with(LevelFilter::INFO).with(fmt()).with(usage.layer()))?;
        }
        "fmt-own" => install(registry().with(fmt().with_filter(LevelFilter::INFO)))?,
        "fmt-own+ours" => {
            install(registry().with(fmt().with_filter(LevelFilter::INFO)).with(usage.layer()))?
        }
        other => return Err(format!("no set-up `{other}`").into()),
    }
    let mut cases = [
        Case::new("span", || {
            let span = tracing::info_span!(target: "engine", "step", tokens = black_box(7_u64));
            let _entered = span.enter();
        }),
        Case::new("event", || {
            tracing::event!(target: "engine", Level::INFO, tokens = black_box(7_u64));
        }),
        Case::new("disabled event", || {
            tracing::event!(target: "engine", Level::DEBUG, tokens = black_box(7_u64));
        }),
    ];
    for times in support::rounds(&mut cases, ROUNDS) {
        println!("{}", times.least());
    }
    Ok(())
}

fn install(subscriber: impl Subscriber + Send + Sync) -> Result<(), Failure> {
    Ok(tracing::subscriber::set_global_default(subscriber)?)
}

/// Returns the usual other layer, with a writer that discards everything.
fn fmt<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> + Send + Sync {
    tracing_subscriber::fmt::layer().with_writer(std::io::sink)
}

/// A foreign layer that listens to everything and does nothing.
struct Empty;

impl<S: Subscriber> Layer<S> for Empty {}
