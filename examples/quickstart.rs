//! Runs a small simulated engine and its usage server in one program.
//!
//! The engine records through the `tracing` layer and through the handle. The server listens on a loopback
//! port and prints what arrives, a line for each key.
//!
//! ```sh
//! cargo run --example quickstart
//! ```
//!
//! It needs no GPU and no network. The local file lies in a temporary home. The program sets consent, so it
//! also runs if collection is off or under continuous integration.

#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Duration;

use otel_usage::Usage;
use otel_usage::schema::{lmcache, vllm};
use otel_usage::settings::Env;
use otel_usage_testing::receiver::{Receiver, Request};
use otel_usage_testing::{json, sample};
use tracing_subscriber::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = tempfile::tempdir()?;
    let server = Receiver::start();
    println!("This program simulates two engines and a usage server, {}.", server.url());
    println!("First each engine gives the notice that its user would see:\n");
    // Stands for the operator's environment.
    let environment = |url_variable: &str| {
        Env::given([
            ("HOME".to_owned(), home.path().display().to_string()),
            ("OTEL_USAGE_MODE".to_owned(), "on".to_owned()),
            (url_variable.to_owned(), server.url()),
        ])
    };

    // vLLM, through the handle: one typed record.
    let engine = Usage::builder(&vllm::CURRENT)
        .with_sample_data()
        .with_environment(environment("VLLM_USAGE_STATS_SERVER"))
        .with_version("0.33.0")
        .with_accelerators(sample::accelerators())
        .try_init()?;
    engine.record(sample::vllm_report());

    // LMCache, through the layer: an ordinary tracing event.
    let cache = Usage::builder(&lmcache::V1)
        .with_sample_data()
        .with_environment(environment("LMCACHE_USAGE_TRACK_URL"))
        .with_version("0.5.6")
        .with_local_log(home.path().join(".config/lmcache/usage.log"))
        .try_init()?;
    let subscriber = tracing_subscriber::registry().with(cache.layer());
    tracing::subscriber::with_default(subscriber, || {
        tracing::event!(
            name: "lmcache.engine",
            target: "otel_usage",
            tracing::Level::INFO,
            lmcache.chunk_size = 256,
            lmcache.local_device = "cpu",
            lmcache.local_cache.max_gb = 20_u64,
            lmcache.remote.url = "redis://user:secret@cache.internal:6379",
            lmcache.remote.serde = "naive",
            lmcache.blending.min_tokens = 256,
            lmcache.model.name = "/home/someone/models/private",
            lmcache.world_size = 1,
            lmcache.worker_id = 0,
            lmcache.kv.dtype = "torch.bfloat16",
            lmcache.kv.shape = ?[32, 2, 256, 8, 128],
        );
        tracing::info!("an event of the engine's own, which is not sent");
    });

    // An engine gives its notice before it sends anything.
    let received = server.take(4);
    println!("\nThe server received these messages:");
    for request in received {
        show(&server.url(), &request);
    }
    let _ = (engine.flush(Duration::from_secs(5)), cache.flush(Duration::from_secs(5)));
    drop((engine, cache));

    println!("\nThe same messages are in local files:");
    for file in [".config/vllm/usage_stats.json", ".config/lmcache/usage.log"] {
        let path = home.path().join(file);
        println!("  {} ({} bytes)", path.display(), std::fs::metadata(&path)?.len());
    }
    println!("They are removed with the temporary home; a real engine keeps them.");
    println!("An event of the engine's own was not sent, and neither was a secret in a URL.");
    Ok(())
}

/// Prints a message: what it is, where it went, and a line for each key.
fn show(server: &str, request: &Request) {
    let rows = json::rows(&request.text());
    let word = rows.iter().find(|(key, _)| key == "message_type").map(|(_, value)| value.as_str());
    let what = match word {
        None => "vLLM's start message: the machine, and the settings of the engine.",
        Some("\"EnvMessage\"") => "LMCache's first message: the machine.",
        Some("\"EngineMessage\"") => "LMCache's second message: the settings of the engine.",
        Some(_) => "LMCache's third message: when the run began, and how long it has lasted.",
    };
    println!("\n{what}\n{} keys, sent by POST to {server}{}", rows.len(), request.path);
    let width = rows.iter().map(|(key, _)| key.len()).max().unwrap_or_default();
    for (key, value) in rows {
        println!("  {key:<width$}  {value}");
    }
}
