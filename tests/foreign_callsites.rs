//! Checks that our layer alone switches spans and events of other targets off.
//!
//! It is a test program of its own because `tracing` remembers the interest in a callsite for the whole
//! process.

use otel_usage::Usage;
use otel_usage::schema::lmcache;
use otel_usage::settings::Env;
use tracing::{Level, info_span};
use tracing_subscriber::prelude::*;

#[test]
fn our_layer_disables_foreign_callsites() {
    let usage = Usage::builder(&lmcache::V1)
        .with_sample_data()
        .with_environment(Env::given([
            ("OTEL_USAGE_MODE", "on"),
            ("OTEL_USAGE_EXPORTERS", "none"),
            ("HOME", "/dev/null"),
        ]))
        .try_init()
        .unwrap();
    let subscriber = tracing_subscriber::registry().with(usage.layer());
    tracing::subscriber::set_global_default(subscriber).unwrap();

    assert!(info_span!(target: "engine", "step").is_disabled());
    assert!(!tracing::enabled!(target: "engine", Level::ERROR));
    assert!(!info_span!(target: "otel_usage", "lmcache.engine").is_disabled());
    assert!(tracing::enabled!(target: "otel_usage", Level::INFO));
}
