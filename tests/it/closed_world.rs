//! Checks that no exporter sends anything that the contract does not list.
//!
//! Random [`Scene`]s enter at every place: the tables, a stock exporter, the handle, the tracing layer.
//! An independent decoder reads the bytes of every exporter.

use std::sync::{LazyLock, Mutex};

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as _;
use otel_usage::Builder;
use otel_usage::export::{ExporterName, UsageSpanExporter};
use otel_usage::schema::flatten;
use otel_usage::schema::{Trigger, lmcache, transport};
use otel_usage_testing::decode::{self, holds, inspect};
use otel_usage_testing::read;
use otel_usage_testing::world::{CANARY, Scene, WORLDS, World, cases, scene, text};
use otel_usage_testing::{Collected, Given, Operator, export, otlp, settled};
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, RngAlgorithm};
use tracing::Level;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::receiver::Receiver;

/// Seeds of failures; proptest tries them first.
const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/closed_world.seeds");

/// For every contract, a running exporter and the records that it sent.
static RUNNING: LazyLock<Vec<Mutex<(UsageSpanExporter, Collected)>>> = LazyLock::new(|| {
    let running = |world: &World| {
        let collected = Collected::default();
        let operator = Operator::new().with("OTEL_USAGE_EXPORTERS", "none");
        let engine = operator.engine(&world.contract).with_exporter(collected.clone());
        Mutex::new((engine.span_exporter().unwrap(), collected))
    };
    WORLDS.iter().map(running).collect()
});

/// Checks that the tables let only declared values of a foreign Resource and span through, and that another
/// process makes the same message of them.
fn by_the_tables(scene: &Scene) {
    let World { contract, compiled, .. } = scene.world();
    let resource = Resource::builder_empty().with_attributes(scene.resource.clone()).build();
    let mut environment = read::resource(compiled, &resource);
    let record = read::span(compiled, &scene.span, &mut |_, _| {});
    let kinds = contract.messages.iter().map(|spec| spec.record.as_ref());
    let attributes = &scene.span.attributes;
    let foreign = attributes.iter().any(|one| one.key.as_str() == transport::CONTRACT);
    let known = kinds.chain([transport::RUN]).any(|kind| kind == scene.span.name);
    assert_eq!(record.is_some(), known && !foreign);
    let Some(mut record) = record else { return };
    // Only the exporter makes a link to the run.
    compiled.sanitize_resource(&mut environment);
    compiled.sanitize_record(&mut record);
    let message = flatten(compiled, &environment, &record).unwrap();
    let json = message.to_json();
    decode::flat(contract, message.spec(), &json);
    assert!(!holds(json.as_bytes(), CANARY), "{json}");
    let bytes = {
        let (resource, span) = read::exported(compiled, &environment, &record);
        otlp::encode(&resource, span)
    };
    assert!(!holds(&bytes, CANARY));
    let (resource, span) = otlp::decode(&bytes).pop().unwrap();
    let again = read::span(compiled, &span, &mut |_, _| {}).unwrap();
    let environment = read::resource(compiled, &resource);
    assert_eq!(flatten(compiled, &environment, &again).unwrap().to_json(), json);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(20_000),
        // The default algorithm, unoptimised, would take most of the time.
        rng_algorithm: RngAlgorithm::XorShift,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(SEEDS))),
        ..Default::default()
    })]

    #[test]
    fn random_resources_and_spans_give_only_the_contracts_keys(scene in scene()) {
        by_the_tables(&scene);
        let running = RUNNING[scene.world].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (exporter, collected) = &*running;
        export(exporter, vec![scene.span.clone()]);
        for record in collected.drain() {
            inspect(&scene.world().contract, &record, CANARY);
        }
    }
}

/// Returns an engine whose records go to files, sockets and `collected`.
fn engine(
    scene: &Scene,
    operator: &Operator,
    servers: &(Receiver, Receiver),
    collected: &Collected,
) -> Builder {
    let mut engine = operator
        .engine(&scene.world().contract)
        .with_exporters([ExporterName::Server, ExporterName::Otlp, ExporterName::File])
        .with_server(servers.0.url())
        .with_otlp_endpoint(servers.1.url())
        .with_file(operator.path("usage.jsonl"))
        .with_exporter(collected.clone());
    for KeyValue { key, value, .. } in scene.resource.clone() {
        engine = engine.with_attribute(key.to_string(), value);
    }
    engine
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() })]

    #[test]
    fn real_sockets_and_files_carry_only_the_contracts_keys(
        scene in scene(), by_handle in any::<bool>(), log in any::<bool>(),
    ) {
        // New ones, because a server gets a limited number of requests a second.
        let servers = (Receiver::start(), Receiver::start());
        let (operator, collected) = (Operator::new(), Collected::default());
        let mut engine = engine(&scene, &operator, &servers, &collected);
        if log {
            engine = engine.with_local_log(operator.path("usage.log"));
        }
        if by_handle {
            let usage = engine.try_init().unwrap();
            usage.record(Given(scene.span.name.to_string(), scene.span.attributes.clone()));
            usage.finish();
            settled(&usage);
        } else {
            let mut exporter = engine.span_exporter().unwrap();
            let around = scene.resource.iter().cloned().chain([KeyValue::new("host.name", CANARY)]);
            exporter.set_resource(&Resource::builder_empty().with_attributes(around).build());
            export(&exporter, vec![scene.span.clone()]);
            prop_assert!(exporter.force_flush().is_ok());
        }
        let records = collected.drain();
        let contract = &scene.world().contract;
        let mut expected: Vec<(String, String)> = Vec::new();
        for record in &records {
            inspect(contract, record, CANARY);
            expected.extend(record.message().map(|message| {
                // The text log omits counts.
                let counts = matches!(message.spec().trigger, Trigger::Interval { .. });
                (message.to_json(), if counts { String::new() } else { message.to_text() })
            }));
        }
        let (json, texts): (Vec<String>, Vec<String>) = expected.into_iter().unzip();
        let posted = servers.0.take_of_any_contract(json.len());
        prop_assert_eq!(posted.iter().map(|request| request.text()).collect::<Vec<_>>(), json.clone());
        let spans = servers.1.take(records.len());
        for request in posted.iter().chain(&spans) {
            prop_assert!(!format!("{request:?}").contains(CANARY), "in a head");
            prop_assert!(!holds(&request.body, CANARY));
        }
        for request in &spans {
            decode::otlp_bytes(contract, &request.body);
        }
        prop_assert!(servers.0.is_silent() && servers.1.is_silent());
        let read = |name: &str| std::fs::read_to_string(operator.path(name)).unwrap_or_default();
        if log {
            prop_assert_eq!(read("usage.log"), texts.concat());
        } else {
            prop_assert_eq!(read("usage.jsonl"), json.iter().map(|line| format!("{line}\n")).collect::<String>());
        }
    }

    #[test]
    fn the_tracing_layer_passes_only_the_contracts_keys(
        words in prop::collection::vec(text(), 3), number in any::<i64>(), unsigned in any::<u64>(),
        list in prop::collection::vec(any::<i64>(), 0..9), float in any::<f64>(),
    ) {
        let collected = Collected::default();
        let operator = Operator::new().with("OTEL_USAGE_EXPORTERS", "none");
        let usage = operator.engine(&lmcache::V1).with_exporter(collected.clone()).try_init().unwrap();
        let subscriber = tracing_subscriber::registry().with(usage.layer());
        tracing::subscriber::with_default(subscriber, || {
            let secret = format!("x://{CANARY}{}", words[0]);
            tracing::event!(
                name: "lmcache.engine", target: "otel_usage", Level::INFO,
                lmcache.chunk_size = unsigned, lmcache.remote.url = secret, lmcache.kv.shape = ?list,
                lmcache.kv.dtype = words[1], lmcache.model.name = number, password = secret,
                lmcache.worker_id = float, "a message with {secret}",
            );
            let span = tracing::info_span!(
                target: "otel_usage", "lmcache.mp_server", lmcache.engine_type = words[2],
                lmcache.p2p = number, secret, lmcache.l1.medium = tracing::field::Empty,
            );
            span.record("lmcache.l1.medium", &words[1]);
            tracing::error_span!(target: "otel_usage", "no.such.kind", secret).in_scope(|| {
                tracing::error!(target: "otel_usage", secret, "an event inside {secret}");
                tracing::error!(target: "engine", secret, "not for us");
            });
        });
        settled(&usage);
        let records = collected.drain();
        prop_assert!(records.len() >= 4, "{}", records.len());
        for record in &records {
            inspect(&lmcache::V1, record, CANARY);
        }
    }
}
