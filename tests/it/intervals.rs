//! Checks messages at intervals: the values of an engine's instruments reach each message's endpoint as the
//! originals send them.

use otel_usage::Usage;
use otel_usage::export::ExporterName;
use otel_usage::schema::Loss;
use otel_usage::schema::lmcache::{self, usage as names};
use otel_usage::settings::Env;
use otel_usage_testing::{Collected, Operator, settled};
use serde_json::{Value, json};

use crate::receiver::{Receiver, Request};

/// Returns the next request of this message type, with its endpoint.
fn next(server: &Receiver, message: &str) -> (String, Value) {
    loop {
        let request: Request = server.take(1).remove(0);
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        if body["message_type"] == message {
            return (request.path, body);
        }
    }
}

/// Returns an operator with an interval of one second.
fn operator(server: &Receiver) -> Operator {
    Operator::new()
        .with("LMCACHE_USAGE_TRACK_URL", server.url())
        .with("LMCACHE_USAGE_TRACK_INTERVAL", "1")
}

#[test]
fn an_engine_sends_counts_lifespans_and_idle_intervals() {
    let server = Receiver::start();
    let usage = operator(&server).engine(&lmcache::V1).try_init().unwrap();
    let (stored, hit, bytes, lifespan) = (
        usage.counter(names::TOKENS_STORED),
        usage.counter(names::TOKENS_HIT),
        usage.counter(names::BYTES_STORED),
        usage.histogram(names::LIFESPAN_MINUTES),
    );
    let engine = lmcache::Engine {
        kv_dtype: "torch.bfloat16".to_owned(),
        kv_shape: vec![32, 2, 256, 8, 128],
        ..Default::default()
    };
    stored.add(512);
    bytes.add(512 * engine.bytes_per_token());
    hit.add(256);
    for minutes in [0.5, 0.9, 3.0, 5000.0, 5001.0] {
        lifespan.record(minutes);
    }
    usage.record(engine);

    let (path, first) = next(&server, "ContinuousContextMessage");
    assert_eq!(path, "/cache-usage");
    assert_eq!(first["interval_num_stored_tokens"], 512);
    assert_eq!(first["interval_num_hit_tokens"], 256);
    assert_eq!(first["interval_stored_kv_size"], 67_108_864);
    assert_eq!(first["sequence_number"], 1);
    assert!(first["uptime_seconds"].as_f64().unwrap() >= 1.0);
    let (path, lifespans) = next(&server, "CacheLifespanMessage");
    assert_eq!(path, "/cache-lifespan");
    // Receivers read each key as the upper bound. The first count is always 0.
    let histogram = &lifespans["cache_lifespan_histogram"];
    assert_eq!(histogram["0"], 0);
    assert_eq!(histogram["1"], 2);
    assert_eq!(histogram["5"], 1);
    assert_eq!(histogram["5000"], 1);
    assert_eq!(histogram.as_object().unwrap().len(), 15);
    assert_eq!(lifespans["sequence_number"], 1);
    assert_eq!(lifespans["uptime_seconds"], first["uptime_seconds"]);

    // A message without new values shows that the engine runs.
    let (_, idle) = next(&server, "ContinuousContextMessage");
    assert_eq!(idle["interval_num_stored_tokens"], 0);
    assert_eq!(idle["sequence_number"], 2);
    usage.finish();
}

#[test]
fn a_server_sends_its_levels_and_the_rest_at_its_end() {
    let server = Receiver::start();
    let usage = Operator::new()
        .with("LMCACHE_USAGE_TRACK_URL", server.url())
        .engine(&lmcache::V1)
        .with_attribute(lmcache::DEPLOYMENT_MODE, "mp_server")
        .try_init()
        .unwrap();
    usage.record(lmcache::MpServer::default());
    usage.gauge(names::L1_BYTES_USED).set(41_875_931_136);
    usage.gauge(names::L1_BYTES_CAPACITY).set(64_424_509_440);
    let (fs, nixl) =
        (usage.series(names::L2_ADAPTER, "fs"), usage.series(names::L2_ADAPTER, "nixl_store"));
    fs.counter(names::L2_BYTES_STORED).add(7);
    fs.gauge(names::L2_BYTES_USED).set(9);
    fs.gauge(names::L2_BYTES_CAPACITY).set(10);
    fs.gauge(names::L2_ADAPTERS_UNBOUNDED).set(0);
    nixl.gauge(names::L2_BYTES_USED).set(11);
    nixl.counter(names::L2_KEYS_STORED).add(8);
    // The adapter was removed meanwhile, so its traffic counts and its size is unknown.
    drop(nixl);
    settled(&usage);
    usage.finish();

    let (path, level) = next(&server, "L1UsageMessage");
    assert_eq!(path, "/l1-usage");
    assert_eq!(level["bytes_used"], 41_875_931_136_u64);
    assert_eq!(level["capacity_bytes"], 64_424_509_440_u64);
    assert_eq!(level["sequence_number"], 1);
    let (path, first) = next(&server, "L2ConnectorUsageMessage");
    assert_eq!(path, "/l2-usage");
    assert_eq!(first["l2_name"], "fs");
    assert_eq!(first["interval_stored_bytes"], 7);
    assert_eq!((&first["bytes_used"], &first["capacity_bytes"]), (&json!(9), &json!(10)));
    let (_, second) = next(&server, "L2ConnectorUsageMessage");
    assert_eq!(second["l2_name"], "nixl_store");
    assert_eq!(second["interval_store_succeeded_keys"], 8);
    // The sentinel values that a receiver knows.
    assert_eq!((&second["bytes_used"], &second["capacity_bytes"]), (&json!(-1), &json!(0)));
    assert_eq!(second["sequence_number"], first["sequence_number"]);
}

#[test]
fn an_unset_gauge_is_sent_as_its_sentinel() {
    let collected = Collected::default();
    let operator = Operator::new().with("OTEL_USAGE_EXPORTERS", "none");
    let usage = operator.engine(&lmcache::V1).with_exporter(collected.clone()).try_init().unwrap();
    usage.record(lmcache::MpServer::default());
    let used = usage.gauge(names::L1_BYTES_USED);
    used.set(5);
    used.unset();
    usage.finish();
    let messages = collected.messages();
    let level = messages.iter().find(|m| m["message_type"] == "L1UsageMessage").unwrap();
    assert_eq!((&level["bytes_used"], &level["capacity_bytes"]), (&json!(-1), &json!(0)));
    // OTLP omits unknown values. Only flat messages have the sentinel.
    let records = collected.records();
    let record = records.iter().find(|record| record.kind() == names::L1_USAGE).unwrap();
    let has = |name: &str| record.span().attributes.iter().any(|a| a.key.as_str() == name);
    assert!(!has(names::L1_BYTES_USED));
    assert!(has("otel_usage.sequence_number"));
}

#[test]
fn the_text_log_holds_the_start_messages_only() {
    let operator = Operator::new();
    let usage = operator
        .engine(&lmcache::V1)
        .with_exporters([ExporterName::File])
        .with_local_log("~/usage.log")
        .try_init()
        .unwrap();
    usage.record(lmcache::MpServer::default());
    usage.finish();
    let log = std::fs::read_to_string(operator.path("usage.log")).unwrap();
    let types: Vec<&str> = log.lines().filter(|line| line.starts_with("message_type")).collect();
    assert_eq!(types, ["message_type: EnvMessage", "message_type: MPServerMessage"]);
}

#[test]
fn instruments_do_nothing_if_collection_is_off_and_unknown_ones_are_counted() {
    let off = Usage::builder(&lmcache::V1)
        .with_environment(Env::given([("DO_NOT_TRACK", "1")]))
        .try_init()
        .unwrap();
    off.counter(names::TOKENS_HIT).add(1);
    off.series(names::L2_ADAPTER, "fs").gauge(names::L2_BYTES_USED).set(1);
    assert!(off.stats().lost.is_empty());

    let operator = Operator::new().with("OTEL_USAGE_EXPORTERS", "none");
    let usage = operator.engine(&lmcache::V1).try_init().unwrap();
    usage.counter("lmcache.no.such").add(1);
    usage.histogram(names::TOKENS_HIT).record(1.0);
    usage.series("lmcache.no.such", "x").counter(names::L2_BYTES_STORED).add(1);
    assert_eq!(usage.stats().lost[&Loss::UndeclaredAttribute], 3);
}

#[test]
fn counts_made_without_consent_are_never_sent() {
    let server = Receiver::start();
    let operator = operator(&server);
    let usage = operator.engine(&lmcache::V1).try_init().unwrap();
    usage.record(lmcache::Engine::default());
    let (_, first) = next(&server, "ContinuousContextMessage");
    let file = operator.path(".config/lmcache/do_not_track");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "").unwrap();
    usage.counter(names::TOKENS_HIT).add(7);
    // One interval passes without a message.
    let lost = || usage.stats().lost.get(&Loss::Consent).copied().unwrap_or_default();
    let before = lost();
    while lost() < before + 2 {
        std::thread::yield_now();
    }
    std::fs::remove_file(&file).unwrap();
    let (_, after) = loop {
        let (path, body) = next(&server, "ContinuousContextMessage");
        if body["sequence_number"].as_i64() > first["sequence_number"].as_i64().map(|n| n + 1) {
            break (path, body);
        }
    };
    assert_eq!(after["interval_num_hit_tokens"], 0);
}
