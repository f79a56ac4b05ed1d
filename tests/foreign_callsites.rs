//! While nobody else listens, spans and events that are not ours are switched off.
//!
//! In: a subscriber with our layer alone. Out: foreign callsites are off, ours are on. A test program
//! of its own with one test, because `tracing` remembers for the whole process who listens.

use otel_usage::schema::lmcache;
use otel_usage::{Env, Usage};
use tracing::{Level, info_span};
use tracing_subscriber::prelude::*;

#[test]
fn foreign_callsites_are_off() {
    let usage = Usage::builder(&lmcache::V1)
        .with_sample_data()
        .with_environment(Env::given([
            ("OTEL_USAGE_MODE", "on"),
            ("OTEL_USAGE_EXPORTERS", "none"),
            ("HOME", "/dev/null"),
        ]))
        .init()
        .unwrap();
    let subscriber = tracing_subscriber::registry().with(usage.layer());
    tracing::subscriber::set_global_default(subscriber).unwrap();

    assert!(info_span!(target: "engine", "step").is_disabled());
    assert!(!tracing::enabled!(target: "engine", Level::ERROR));
    assert!(!info_span!(target: "otel_usage", "lmcache.engine").is_disabled());
    assert!(tracing::enabled!(target: "otel_usage", Level::INFO));
}
