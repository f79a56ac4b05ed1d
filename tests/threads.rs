//! Checks when threads of the library start.
//!
//! It is a test program of its own because it counts the threads of its process.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "the test fails by panicking")]

use otel_usage::schema::lmcache::{self, usage};
use otel_usage::settings::Env;
use otel_usage::{Attributes, Flush, Usage};
use tracing::{Level, event, info_span};
use tracing_subscriber::prelude::*;

/// Returns how many threads of this process have a name of ours.
fn our_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")));
    names.filter(|name| name.as_ref().is_ok_and(|name| name.starts_with("otel-usage"))).count()
}

#[test]
fn init_starts_no_thread() {
    let usage = Usage::builder(&lmcache::V1)
        .with_sample_data()
        .with_environment(Env::given([
            ("HOME", "/dev/null"),
            ("OTEL_USAGE_MODE", "on"),
            ("OTEL_USAGE_EXPORTERS", "console"),
        ]))
        .try_init()
        .unwrap();
    assert!(usage.is_enabled());
    let hits = usage.counter(usage::TOKENS_HIT);
    hits.add(1);
    usage.set_heartbeat(Attributes::new("lmcache.engine"));
    let subscriber = tracing_subscriber::registry().with(usage.layer());
    tracing::subscriber::with_default(subscriber, || {
        drop(info_span!(target: "engine", "step"));
        drop(info_span!(target: "otel_usage", "unknown.kind"));
        event!(name: "unknown.event", target: "otel_usage", Level::INFO, answer = 42);
        assert_eq!(
            our_threads(),
            0,
            "neither init nor an instrument nor an unknown span starts one"
        );

        event!(name: "lmcache.engine", target: "otel_usage", Level::INFO, lmcache.chunk_size = 256);
    });
    assert_eq!(usage.flush(otel_usage_testing::PATIENCE), Flush::Settled);
    assert_eq!(our_threads(), 1, "the first record starts the worker");
}
