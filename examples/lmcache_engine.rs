//! LMCache as its documentation describes it: three messages, and a text log instead of sending.
//!
//! ```sh
//! cargo run --example lmcache_engine
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what happens")]

#[path = "support/mod.rs"]
mod support;

use otel_usage::schema::lmcache;
use otel_usage::{Env, Exporter, Usage};
use support::sample;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = tempfile::tempdir()?;
    let environment = Env::given([
        ("HOME", home.path().display().to_string()),
        // Reports stay on this machine.
        ("OTEL_USAGE_MODE", "local".to_owned()),
    ]);
    let usage_context = Usage::builder(&lmcache::DOC)
        .with_sample_data()
        .with_environment(environment)
        .with_exporters([Exporter::File])
        .with_local_log("~/.config/lmcache/usage.log")
        .try_init()?;
    // `None` when collection is off, as LMCache's own initialiser returns.
    let Some(usage) = usage_context else {
        println!("collection is off");
        return Ok(());
    };
    usage.start(sample::lmcache_engine());
    // The end of the run: the metadata message carries its duration.
    usage.finish();

    let log = home.path().join(".config/lmcache/usage.log");
    println!("tail {}\n\n{}", log.display(), std::fs::read_to_string(&log)?);
    Ok(())
}
