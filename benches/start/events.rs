//! Measures a usage event and a span beside the plain OpenTelemetry layer.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, Span, SpanData, SpanProcessor};
use otel_usage::schema::lmcache;
use tracing::{Level, event, span};
use tracing_subscriber::layer::SubscriberExt as _;

use super::support::{self, Times};
use super::{Failure, PATIENCE, PROCESSES, usage};

/// Number of events in a row, fewer than the queue holds.
const BURST: usize = 64;

/// Measures events and spans with ten fields. Each way runs in its own process, because `tracing`
/// remembers the listeners of a callsite for the whole process.
pub(super) fn all() -> Result<(), Failure> {
    let ways = [
        ("lean-span", "a span, lean OpenTelemetry layer, null processor"),
        ("our-span", "a span through our layer, to the worker"),
        ("our-event", "an event through our layer, to the worker"),
    ];
    let mut times: BTreeMap<&str, Times> = BTreeMap::new();
    for _ in 0..PROCESSES {
        for (way, _) in ways {
            let output = support::again(&["--child", way])?.output()?;
            let text = String::from_utf8(output.stdout)?;
            times.entry(way).or_default().0.push(
                text.trim()
                    .parse()
                    .map_err(|_| format!("{way}: {}", String::from_utf8_lossy(&output.stderr)))?,
            );
        }
    }
    println!("\nTen fields, CPU of the engine's thread, {BURST} in a row");
    println!("  {:<52} {:>10} {:>10} {:>7}", "ns per call", "median", "least", "ratio");
    let Some(floor) = times.get("lean-span") else {
        return Ok(());
    };
    for (way, title) in ways {
        let Some(own) = times.get(way) else { continue };
        println!(
            "  {title:<52} {:>10.0} {:>10.0} {:>7.2}",
            own.median(),
            own.least(),
            own.ratio(floor)
        );
    }
    Ok(())
}

fn one_span() {
    let span = span!(
        target: "otel_usage", Level::INFO, "lmcache.engine",
        lmcache.chunk_size = black_box(256_i64),
        lmcache.local_device = black_box("cpu"),
        lmcache.local_cache.max_gb = black_box(20_i64),
        lmcache.remote.serde = black_box("naive"),
        lmcache.save_decode_cache = black_box(true),
        lmcache.blending.min_tokens = black_box(256_i64),
        lmcache.model.name = black_box("meta-llama/Llama-3.1-8B-Instruct"),
        lmcache.world_size = black_box(1_i64),
        lmcache.worker_id = black_box(3_i64),
        lmcache.kv.dtype = black_box("torch.bfloat16"),
    );
    let _entered = span.enter();
}

fn one_event() {
    event!(
        name: "lmcache.engine", target: "otel_usage", Level::INFO,
        lmcache.chunk_size = black_box(256_i64),
        lmcache.local_device = black_box("cpu"),
        lmcache.local_cache.max_gb = black_box(20_i64),
        lmcache.remote.serde = black_box("naive"),
        lmcache.save_decode_cache = black_box(true),
        lmcache.blending.min_tokens = black_box(256_i64),
        lmcache.model.name = black_box("meta-llama/Llama-3.1-8B-Instruct"),
        lmcache.world_size = black_box(1_i64),
        lmcache.worker_id = black_box(3_i64),
        lmcache.kv.dtype = black_box("torch.bfloat16"),
    );
}

/// Is the process of one way.
pub(super) fn child(way: &str) -> Result<(), Failure> {
    let engine = if way == "lean-span" {
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::AlwaysOn)
            .with_span_processor(Null)
            .build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("bench"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false);
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))?;
        None
    } else {
        let usage = usage(&lmcache::V1, "none", "")?;
        let subscriber = tracing_subscriber::registry().with(usage.layer());
        tracing::subscriber::set_global_default(subscriber)?;
        Some(usage)
    };
    let call = if way == "our-event" { one_event } else { one_span };
    let mut times = Times::default();
    for _ in 0..101 {
        let before = support::thread_cpu();
        for _ in 0..BURST {
            call();
        }
        let cpu = support::thread_cpu().saturating_sub(before);
        times.0.push(cpu as f64 / BURST as f64);
        if let Some(usage) = &engine {
            // Waits until the worker has taken all of them, because a full queue would refuse the next ones.
            let _ = usage.flush(PATIENCE);
        }
    }
    if engine.is_some_and(|usage| usage.stats().lost.iter().any(|(_, count)| *count > 0)) {
        return Err("records were lost, so other work was measured".into());
    }
    println!("{}", times.median());
    Ok(())
}

#[derive(Debug)]
struct Null;

impl SpanProcessor for Null {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        black_box(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}
