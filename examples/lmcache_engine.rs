//! Runs LMCache as its documentation describes it: three messages, which go to a text log and not to a server.
//!
//! ```sh
//! cargo run --example lmcache_engine
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use otel_usage::Usage;
use otel_usage::export::ExporterName;
use otel_usage::schema::lmcache;
use otel_usage::settings::Env;
use otel_usage_testing::sample;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = tempfile::tempdir()?;
    let environment = Env::given([
        ("HOME", home.path().display().to_string()),
        // Messages stay on this machine.
        ("OTEL_USAGE_MODE", "local".to_owned()),
    ]);
    let usage = Usage::builder(&lmcache::DOC)
        .with_sample_data()
        .with_environment(environment)
        .with_exporters([ExporterName::File])
        .with_local_log("~/.config/lmcache/usage.log")
        .try_init()?;
    // LMCache's own initialiser returns `None` if collection is off.
    let Some(usage) = Some(usage).filter(Usage::is_enabled) else {
        println!("collection is off");
        return Ok(());
    };
    usage.record(sample::lmcache_engine());
    // The metadata message at the end of the run carries its duration.
    usage.finish();

    let log = home.path().join(".config/lmcache/usage.log");
    println!("tail {}\n\n{}", log.display(), std::fs::read_to_string(&log)?);
    Ok(())
}
