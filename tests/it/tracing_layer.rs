//! Checks the `tracing` layer in set-ups that could lose or leak records.

use std::process::Command;
use std::sync::{Arc, Mutex};

use opentelemetry::trace::{Tracer as _, TracerProvider as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter};
use otel_usage::schema::Loss;
use otel_usage::schema::{Contract, Field, Source, Type, lmcache, vllm};
use otel_usage::{Attributes, Usage};
use otel_usage_testing::{Collected, Operator, settled};
use tracing::{Level, event, info_span};
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, registry};

/// Returns an LMCache engine whose records are collected.
fn engine(contract: &Contract) -> (Usage, Collected, Operator) {
    let (operator, collected) = (Operator::new(), Collected::default());
    let usage = operator
        .engine(contract)
        .with_exporters([])
        .with_exporter(collected.clone())
        .try_init()
        .unwrap();
    (usage, collected, operator)
}

fn lost(usage: &Usage, loss: Loss) -> u64 {
    usage.stats().lost.get(&loss).copied().unwrap_or(0)
}

#[test]
fn an_event_is_sent_with_unsigned_numbers_and_lists() {
    let (usage, collected, _home) = engine(&lmcache::V1);
    tracing::subscriber::with_default(registry().with(usage.layer()), || {
        event!(
            name: "lmcache.engine",
            target: "otel_usage",
            Level::INFO,
            lmcache.chunk_size = 256_u64,
            lmcache.world_size = 2_usize,
            lmcache.worker_id = 1_u8,
            lmcache.save_decode_cache = true,
            lmcache.remote.serde = None::<&str>,
            lmcache.kv.dtype = %"torch.bfloat16",
            lmcache.kv.shape = ?[32, 2, 256, 8, 128],
        );
    });
    settled(&usage);
    let messages = collected.messages();
    let types: Vec<_> = messages.iter().map(|message| message["message_type"].clone()).collect();
    assert_eq!(types, ["EnvMessage", "EngineMessage", "MetadataMessage"]);
    let engine = &messages[1];
    assert_eq!(engine["chunksize"], 256);
    assert_eq!(engine["world_size"], 2);
    assert_eq!(engine["worker_id"], 1);
    assert_eq!(engine["save_decode_cache"], true);
    assert_eq!(engine["remote_serde"], serde_json::Value::Null);
    assert_eq!(engine["kv_dtype"], "torch.bfloat16");
    assert_eq!(engine["kv_shape"], serde_json::json!([32, 2, 256, 8, 128]));
}

#[test]
fn a_span_is_sent_at_its_end_with_later_attributes() {
    let (usage, collected, _home) = engine(&lmcache::V1);
    tracing::subscriber::with_default(registry().with(usage.layer()), || {
        let foreign = info_span!("request", secret = "prompt");
        let _inside = foreign.enter();
        let span = info_span!(
            target: "otel_usage",
            parent: &foreign,
            "lmcache.engine",
            lmcache.chunk_size = 128_u64,
            lmcache.worker_id = tracing::field::Empty,
        );
        span.record("lmcache.worker_id", 3_u32);
        let _entered = span.enter();
    });
    settled(&usage);
    let engine = &collected.messages()[1];
    assert_eq!(engine["chunksize"], 128);
    assert_eq!(engine["worker_id"], 3);
}

#[test]
fn foreign_targets_unknown_kinds_and_undeclared_fields_are_not_sent() {
    let (usage, collected, _home) = engine(&lmcache::V1);
    tracing::subscriber::with_default(registry().with(usage.layer()), || {
        event!(name: "lmcache.engine", target: "otel_usage::inner", Level::INFO, lmcache.chunk_size = 1);
        event!(name: "lmcache.engine", target: "engine", Level::INFO, lmcache.chunk_size = 1);
        event!(name: "lmcache.secrets", target: "otel_usage", Level::INFO, lmcache.chunk_size = 1);
        drop(info_span!(target: "otel_usage", "somebody.elses"));
        event!(name: "lmcache.engine", target: "otel_usage", Level::INFO, prompt = "secret", lmcache.chunk_size = 7);
    });
    settled(&usage);
    let messages = collected.messages();
    assert_eq!(messages.len(), 3, "{messages:?}");
    assert_eq!(messages[1]["chunksize"], 7);
    assert!(!format!("{:?}", collected.records()).contains("secret"));
    assert_eq!(lost(&usage, Loss::UnknownRecord), 2);
    assert_eq!(lost(&usage, Loss::UndeclaredAttribute), 1);
}

#[test]
fn log_enabled_loses_no_event() {
    // Another test may have initialised it already, which is not an error here.
    let _ = tracing_log::LogTracer::init();
    let (usage, collected, _home) = engine(&lmcache::V1);
    let subscriber = registry()
        .with(tracing_subscriber::layer::Identity::new().with_filter(EnvFilter::new("info")))
        .with(usage.layer());
    tracing::subscriber::with_default(subscriber, || {
        for chunk_size in 0..6 {
            let _ = log::log_enabled!(target: "sqlx", log::Level::Debug);
            event!(
                name: "lmcache.engine", target: "otel_usage", Level::INFO,
                lmcache.chunk_size = chunk_size,
            );
            let _ = log::log_enabled!(target: "sqlx", log::Level::Debug);
            drop(
                info_span!(target: "otel_usage", "lmcache.engine", lmcache.chunk_size = chunk_size),
            );
        }
    });
    settled(&usage);
    let engines =
        collected.messages().iter().filter(|m| m["message_type"] == "EngineMessage").count();
    assert_eq!(engines, 12);
}

#[test]
fn a_span_with_two_hundred_attributes_is_sent_whole() {
    let mut contract = lmcache::V1.clone();
    for index in 0..200 {
        let mut field = Field::record("", Type::Int, "", "One of many.");
        field.name = format!("extra_{index}").into();
        field.source = Source::Record(format!("extra.{index}").into());
        contract = contract.with_field("EngineMessage", field);
    }
    let (usage, collected, _home) = engine(&contract);
    let record = (0..200_i64).fold(Attributes::new("lmcache.engine"), |record, index| {
        record.with(format!("extra.{index}"), index)
    });
    usage.record(record);
    settled(&usage);
    let engine = &collected.messages()[1];
    for index in 0..200 {
        assert_eq!(engine[format!("extra_{index}")], index);
    }
}

/// The engine's own tracing backend, which remembers every span.
#[derive(Debug, Clone, Default)]
struct Backend(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Backend {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

fn engines_own_tracing() -> (SdkTracerProvider, Backend) {
    let backend = Backend::default();
    // The engine's own tracing works in any environment.
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::AlwaysOn)
        .with_simple_exporter(backend.clone())
        .build();
    (provider, backend)
}

#[test]
fn the_engines_own_otel_layer_works_beside_ours_in_either_order() {
    for ours_first in [true, false] {
        let (usage, collected, _home) = engine(&lmcache::V1);
        let (provider, backend) = engines_own_tracing();
        // It has no filter, so it sees our spans too.
        let tracer = provider.tracer("engine");
        let act = || {
            let request = info_span!("request");
            let _inside = request.enter();
            let record = info_span!(target: "otel_usage", "lmcache.engine", lmcache.chunk_size = 5);
            let _reporting = record.enter();
            event!(name: "lmcache.engine", target: "otel_usage", Level::INFO, lmcache.chunk_size = 6);
            usage.record(Attributes::new("lmcache.engine").with("lmcache.chunk_size", 7));
            drop(info_span!("inner"));
        };
        if ours_first {
            tracing::subscriber::with_default(
                registry()
                    .with(usage.layer())
                    .with(tracing_opentelemetry::layer().with_tracer(tracer)),
                act,
            );
        } else {
            tracing::subscriber::with_default(
                registry()
                    .with(tracing_opentelemetry::layer().with_tracer(tracer))
                    .with(usage.layer()),
                act,
            );
        }
        settled(&usage);

        let mut sizes: Vec<_> = collected
            .messages()
            .iter()
            .filter(|message| message["message_type"] == "EngineMessage")
            .map(|message| message["chunksize"].as_i64().unwrap())
            .collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [5, 6, 7]);

        let engine_spans = backend.0.lock().unwrap().clone();
        let engine_traces: Vec<_> =
            engine_spans.iter().map(|span| span.span_context.trace_id()).collect();
        for record in collected.records() {
            let span = record.span();
            assert!(
                !engine_traces.contains(&span.span_context.trace_id()),
                "a record joined the engine's trace"
            );
            assert_eq!(span.parent_span_id, opentelemetry::SpanId::INVALID);
            assert_eq!(span.instrumentation_scope.name(), "otel_usage");
        }
        // The engine's own layer saw events of our target, but none of its spans is ours.
        let inner = engine_spans.iter().find(|span| span.name == "inner").unwrap();
        let request = engine_spans.iter().find(|span| span.name == "request").unwrap();
        assert_eq!(inner.span_context.trace_id(), request.span_context.trace_id());
    }
}

#[test]
fn two_engines_in_one_registry_get_their_own_records() {
    let (cache, cached, _home) = engine(&lmcache::V1);
    let (llm, told, _other) = engine(&vllm::CURRENT);
    let (replica, replicated, _third) = engine(&vllm::CURRENT);
    let subscriber = registry().with(cache.layer()).with(llm.layer()).with(replica.layer());
    tracing::subscriber::with_default(subscriber, || {
        drop(info_span!(target: "otel_usage", "lmcache.engine", lmcache.chunk_size = 9));
        event!(name: "lmcache.engine", target: "otel_usage", Level::INFO, lmcache.chunk_size = 9);
        drop(info_span!(target: "otel_usage", "vllm.report", vllm.cache.block_size = 16));
    });
    for usage in [&cache, &llm, &replica] {
        settled(usage);
    }
    assert_eq!(cached.messages().len(), 4);
    assert_eq!(told.messages().len(), 1);
    assert_eq!(replicated.messages().len(), 1);
    // The two share no id.
    let ids: Vec<_> = [&cached, &told, &replicated]
        .iter()
        .map(|collected| {
            let record = &collected.records()[0];
            let id = opentelemetry::Key::from_static_str("service.instance.id");
            (record.resource().get(&id).unwrap().to_string(), record.span().span_context.trace_id())
        })
        .collect();
    assert!(ids[0].0 != ids[1].0 && ids[1].0 != ids[2].0 && ids[0].0 != ids[2].0);
    assert!(ids[0].1 != ids[1].1 && ids[1].1 != ids[2].1);
}

#[test]
fn a_global_filter_stops_the_layer_but_not_the_handle() {
    let (usage, collected, _home) = engine(&lmcache::V1);
    let subscriber = registry().with(EnvFilter::new("error")).with(usage.layer());
    tracing::subscriber::with_default(subscriber, || {
        event!(name: "lmcache.engine", target: "otel_usage", Level::INFO, lmcache.chunk_size = 1);
        usage.record(Attributes::new("lmcache.engine").with("lmcache.chunk_size", 2));
    });
    settled(&usage);
    let messages = collected.messages();
    assert_eq!(messages.len(), 3);
    assert_eq!(messages[1]["chunksize"], 2);
}

#[test]
fn the_global_provider_stays_unchanged() {
    let (provider, backend) = engines_own_tracing();
    opentelemetry::global::set_tracer_provider(provider);
    let (usage, collected, _home) = engine(&lmcache::V1);
    // By the handle, by an event, and by a span, for which the layer has a provider of its own.
    usage.record(Attributes::new("lmcache.engine"));
    tracing::subscriber::with_default(registry().with(usage.layer()), || {
        event!(name: "lmcache.engine", target: "otel_usage", Level::INFO, lmcache.chunk_size = 1);
        drop(info_span!(target: "otel_usage", "lmcache.engine", lmcache.chunk_size = 2));
    });
    settled(&usage);
    let messages = collected.messages();
    let engines = messages.iter().filter(|message| message["message_type"] == "EngineMessage");
    assert_eq!(engines.count(), 3);
    assert!(backend.0.lock().unwrap().is_empty(), "a record went through the global provider");
    drop(opentelemetry::global::tracer("engine").start("own"));
    assert_eq!(backend.0.lock().unwrap().len(), 1, "the engine's provider is still the global one");
}

#[test]
fn opentelemetry_variables_change_nothing() {
    // The SDK reads these variables in every provider that does not set the values in code. They must be in
    // the real environment, so this needs a child process.
    let hostile = [
        ("OTEL_TRACES_SAMPLER", "always_off"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "1"),
        ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "1"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "0"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "0"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "1"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "1"),
        ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
        ("OTEL_SERVICE_NAME", "operators-secret"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team=operators-secret,host.name=operators-secret"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=operators-secret"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
        ("HTTP_PROXY", "http://127.0.0.1:9"),
        ("ALL_PROXY", "http://127.0.0.1:9"),
    ];
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--skip",
            "opentelemetry_variables",
            "--skip",
            "stock_provider",
            "tracing_layer",
            "exporters",
        ])
        .envs(hostile)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains(" passed"), "{text}");
}

/// An engine's own layer, which notes what it sees.
#[derive(Debug, Clone, Default)]
struct Other(Arc<Mutex<Vec<&'static str>>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Other {
    fn on_new_span(
        &self,
        attrs: &tracing::span::Attributes<'_>,
        _: &tracing::span::Id,
        _: tracing_subscriber::layer::Context<'_, S>,
    ) {
        self.0.lock().unwrap().push(attrs.metadata().name());
    }

    fn on_close(&self, _: tracing::span::Id, _: tracing_subscriber::layer::Context<'_, S>) {
        self.0.lock().unwrap().push("closed");
    }
}

/// A span of ours that is filled later, and closed while and after foreign spans are open.
fn speak() {
    let engine = info_span!(target: "engine", "step");
    let ours = tracing::span!(
        target: "otel_usage", Level::INFO, "lmcache.engine",
        lmcache.chunk_size = tracing::field::Empty,
    );
    ours.record("lmcache.chunk_size", 77);
    engine.in_scope(|| drop(info_span!(target: "engine", "inner")));
    ours.in_scope(|| {});
    drop(engine);
    drop(ours);
    drop(info_span!(target: "engine", "late"));
}

#[test]
fn spans_arrive_with_and_without_another_layer() {
    for beside in [false, true] {
        let other = Other::default();
        let (usage, collected, _operator) = engine(&lmcache::V1);
        let subscriber = registry().with(beside.then(|| other.clone())).with(usage.layer());
        tracing::subscriber::with_default(subscriber, speak);
        settled(&usage);
        let messages = collected.messages();
        let engine = messages.iter().find(|one| one["message_type"] == "EngineMessage").unwrap();
        assert_eq!(engine["chunksize"], 77);
        if beside {
            let seen = other.0.lock().unwrap().clone();
            let spans =
                ["step", "lmcache.engine", "inner", "closed", "closed", "closed", "late", "closed"];
            assert_eq!(seen, spans);
        }
    }
}
