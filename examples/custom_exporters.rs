//! One engine, six deployments: the exporters are swapped by environment variables alone.
//!
//! ```sh
//! cargo run --example custom_exporters
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what happens")]

#[path = "support/mod.rs"]
mod support;

use std::time::Duration;

use otel_usage::schema::vllm;
use otel_usage::{Env, Usage};
use support::receiver::Receiver;
use support::sample;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let deployments: [(&str, &[(&str, &str)]); 6] = [
        ("as it comes: server and local file", &[]),
        ("the local file only", &[("OTEL_USAGE_EXPORTERS", "file")]),
        ("our own collector only", &[("OTEL_USAGE_EXPORTERS", "otlp")]),
        ("server, collector and console", &[("OTEL_USAGE_EXPORTERS", "server,otlp,console")]),
        ("no exporter", &[("OTEL_USAGE_EXPORTERS", "none")]),
        ("opted out", &[("DO_NOT_TRACK", "1")]),
    ];
    for (name, variables) in deployments {
        let (server, collector, home) =
            (Receiver::start(), Receiver::start(), tempfile::tempdir()?);
        let mut environment = vec![
            ("HOME", home.path().display().to_string()),
            ("OTEL_USAGE_MODE", "on".to_owned()),
            ("VLLM_USAGE_STATS_SERVER", server.url()),
            ("OTEL_USAGE_OTLP_ENDPOINT", collector.url()),
        ];
        environment.extend(variables.iter().map(|(name, value)| (*name, (*value).to_owned())));
        engine(Env::given(environment))?;

        let file = home.path().join(".config/vllm/usage_stats.json");
        println!(
            "{name}: {} POST(s) to the server, {} to the collector, local file: {}\n",
            server.requests.try_iter().count(),
            collector.requests.try_iter().count(),
            if file.exists() { "written" } else { "none" },
        );
    }
    Ok(())
}

/// The engine: it knows nothing of all this.
fn engine(environment: Env) -> Result<(), otel_usage::Error> {
    let usage = Usage::builder(&vllm::CURRENT)
        .with_sample_data()
        .with_environment(environment)
        .with_version("0.33.0")
        .with_accelerators(sample::accelerators())
        .init()?;
    usage.start(sample::vllm_report());
    let _ = usage.flush(Duration::from_secs(5));
    usage.finish();
    Ok(())
}
