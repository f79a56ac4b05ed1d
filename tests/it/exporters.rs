//! Checks the built-in exporters: their choice, their output, and several at once.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use otel_usage::export::{ExportRecord, Exporter, ExporterName, Outcome};
use otel_usage::schema::{lmcache, transport, vllm};
use otel_usage::{Attributes, Flush, Stats, Usage};
use otel_usage_testing::json::keys;
use otel_usage_testing::read;
use otel_usage_testing::sample;
use otel_usage_testing::{Collected, Operator, PATIENCE, otlp, settled};

use crate::receiver::{Receiver, Request};

pub(crate) fn exporter(stats: &Stats, name: &str) -> otel_usage::export::ExporterStats {
    stats.exporters.iter().find(|exporter| exporter.name == name).cloned().unwrap_or_default()
}

pub(crate) fn types(requests: &[Request]) -> Vec<String> {
    requests
        .iter()
        .map(|request| {
            let json: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
            json["message_type"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[test]
fn the_server_gets_one_flat_object_a_post_in_order() {
    let server = Receiver::start();
    let operator =
        Operator::new().with("LMCACHE_USAGE_TRACK_URL", format!("{}/base/", server.url()));
    let usage = operator.engine(&lmcache::V1).try_init().unwrap();
    usage.record(sample::lmcache_engine());
    let requests = server.take(3);
    assert_eq!(types(&requests), ["EnvMessage", "EngineMessage", "MetadataMessage"]);
    for request in &requests {
        assert_eq!(request.method, "POST");
        assert_eq!(request.path, "/base/context");
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(
            request.header("user-agent"),
            Some(concat!("otel-usage/", env!("CARGO_PKG_VERSION")))
        );
    }
    settled(&usage);
    assert_eq!(exporter(&usage.stats(), "server").delivered, 3);
}

#[test]
fn a_multi_process_server_sends_no_engine_metadata() {
    let server = Receiver::start();
    let operator = Operator::new().with("LMCACHE_USAGE_TRACK_URL", server.url());
    let usage = operator
        .engine(&lmcache::V1)
        .with_attribute(lmcache::DEPLOYMENT_MODE, "mp_server")
        .try_init()
        .unwrap();
    usage.record(lmcache::MpServer { chunk_size: 256, ..Default::default() });
    settled(&usage);
    drop(usage);
    let requests: Vec<Request> = server.requests.try_iter().collect();
    // The end sends the open interval.
    let expected = ["EnvMessage", "MPServerMessage", "ContinuousContextMessage", "L1UsageMessage"];
    assert_eq!(types(&requests), expected);
    assert!(requests[0].text().contains("\"deployment_mode\": \"mp_server\""));
}

#[test]
fn the_metadata_message_is_sent_at_the_end_with_the_duration() {
    let server = Receiver::start();
    let operator = Operator::new().with("LMCACHE_USAGE_TRACK_URL", server.url());
    let usage = operator.engine(&lmcache::DOC).try_init().unwrap();
    usage.record(sample::lmcache_engine());
    assert_eq!(types(&server.take(2)), ["EnvMessage", "EngineMessage"]);
    usage.finish();
    let metadata = server.next();
    assert_eq!(keys(&metadata.text()), ["message_type", "start_time", "duration"]);
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.body).unwrap();
    assert!(metadata["duration"].as_f64().unwrap() > 0.0);
    let start = metadata["start_time"].as_str().unwrap();
    assert_eq!(start.len(), "2026-08-20 08:15:13".len(), "{start}");
}

#[test]
fn all_exporters_get_the_same_records() {
    let (server, collector) = (Receiver::start(), Receiver::start());
    let operator = Operator::new()
        .with("OTEL_USAGE_EXPORTERS", "server, file,otlp")
        .with("VLLM_USAGE_STATS_SERVER", server.url())
        .with("OTEL_USAGE_OTLP_ENDPOINT", collector.url())
        .with("OTEL_USAGE_OTLP_HEADERS", "x-tenant=a%20b");
    let collected = Collected::default();
    let usage = operator
        .engine(&vllm::CURRENT)
        .with_version("0.33.0")
        .with_accelerators(sample::accelerators())
        .with_exporter(collected.clone())
        .try_init()
        .unwrap();
    usage.record(sample::vllm_report());
    let (flat, span) = (server.next(), collector.next());
    settled(&usage);

    let file = std::fs::read_to_string(operator.path(".config/vllm/usage_stats.json")).unwrap();
    assert_eq!(file, format!("{}\n", flat.text()));
    assert_eq!(collected.records()[0].message().unwrap().to_json(), flat.text());

    assert_eq!(span.path, "/v1/traces");
    assert_eq!(span.header("content-type"), Some("application/x-protobuf"));
    assert_eq!(span.header("x-tenant"), Some("a b"));
    // The credentials of the operator's tracing, which must not be sent.
    assert_eq!(span.header("authorization"), None);
    let decoded = otlp::decode(&span.body);
    assert_eq!(decoded.len(), 1);
    let (resource, data) = &decoded[0];
    let attribute = |name: &str| {
        data.attributes
            .iter()
            .find(|a| a.key.as_str() == name)
            .map(|a| a.value.as_str().into_owned())
    };
    assert_eq!(attribute(transport::CONTRACT).as_deref(), Some("vllm/current"));
    assert_eq!(attribute(transport::RECORD_KIND).as_deref(), Some("vllm.report"));
    assert_eq!(attribute(transport::DELIVERY).as_deref(), Some("direct"));
    assert_eq!(data.instrumentation_scope.name(), transport::SCOPE);

    // Another process makes the same bytes from it.
    let compiled = otel_usage::schema::CompiledContract::new(&vllm::CURRENT).unwrap();
    let environment = read::resource(&compiled, resource);
    let record = read::span(&compiled, data, &mut |loss, name| panic!("{loss} {name}")).unwrap();
    assert_eq!(
        otel_usage::schema::flatten(&compiled, &environment, &record).unwrap().to_json(),
        flat.text()
    );
}

#[test]
fn only_otlp_gets_the_span_of_the_run_and_records_link_to_it() {
    let (server, collector) = (Receiver::start(), Receiver::start());
    let operator = Operator::new()
        .with("OTEL_USAGE_EXPORTERS", "server,otlp")
        .with("LMCACHE_USAGE_TRACK_URL", server.url())
        .with("OTEL_USAGE_OTLP_ENDPOINT", collector.url());
    let usage = operator.engine(&lmcache::V1).try_init().unwrap();
    usage.record(sample::lmcache_engine());
    settled(&usage);
    drop(usage);
    let spans: Vec<_> = collector
        .take(4)
        .iter()
        .flat_map(|request| otlp::decode(&request.body))
        .map(|(_, span)| span)
        .collect();
    let names: Vec<_> = spans.iter().map(|span| span.name.as_ref()).collect();
    assert_eq!(names, ["lmcache.environment", "lmcache.engine", "lmcache.metadata", "run"]);
    let run = spans[3].span_context.clone();
    for span in &spans[..3] {
        assert_eq!(span.links[0].span_context.span_id(), run.span_id());
        assert_ne!(span.span_context.trace_id(), run.trace_id());
    }
    assert!(spans[3].end_time > spans[3].start_time);
    assert_eq!(server.requests.try_iter().count(), 3);
}

#[test]
fn otlp_is_compressed_if_the_setting_says_gzip() {
    let collector = Receiver::start();
    let operator = Operator::new()
        .with("OTEL_USAGE_EXPORTERS", "otlp")
        .with("OTEL_USAGE_OTLP_ENDPOINT", collector.url())
        .with("OTEL_USAGE_OTLP_COMPRESSION", "gzip");
    let usage = operator.engine(&vllm::CURRENT).try_init().unwrap();
    usage.record(sample::vllm_report());
    let request = collector.next();
    assert_eq!(request.header("content-encoding"), Some("gzip"));
    let mut body = Vec::new();
    flate2::read::GzDecoder::new(request.body.as_slice()).read_to_end(&mut body).unwrap();
    let spans = otlp::decode(&body);
    // No other exporter delivers it, so the bridge must.
    assert!(spans[0].1.attributes.iter().all(|a| a.key.as_str() != transport::DELIVERY));
    drop(usage);
}

#[test]
fn the_environment_chooses_exporters_and_the_builder_overrules_it() {
    let chosen = |operator: &Operator, contract| {
        operator
            .engine(contract)
            .with_server("http://127.0.0.1:9")
            .inspect()
            .unwrap()
            .settings()
            .clone()
            .exporters
    };
    let operator = Operator::new();
    assert_eq!(chosen(&operator, &vllm::CURRENT), [ExporterName::File, ExporterName::Server]);
    assert_eq!(chosen(&operator, &lmcache::V1), [ExporterName::Server]);
    let operator = Operator::new().with("OTEL_USAGE_EXPORTERS", " Console , FILE ");
    assert_eq!(chosen(&operator, &vllm::CURRENT), [ExporterName::Console, ExporterName::File]);
    let operator = Operator::new().with("OTEL_USAGE_EXPORTERS", "server,none");
    assert_eq!(chosen(&operator, &vllm::CURRENT), []);
    let builder = operator.engine(&vllm::CURRENT).with_exporters([ExporterName::Console]);
    assert_eq!(builder.inspect().unwrap().settings().clone().exporters, [ExporterName::Console]);
    // An empty URL means "the local file only", as in the original.
    let operator = Operator::new().with("VLLM_USAGE_STATS_SERVER", "");
    let settings = operator.engine(&vllm::CURRENT).inspect().unwrap().settings().clone();
    assert_eq!(settings.exporters, [ExporterName::File]);
    assert!(settings.warnings.is_empty());
}

#[test]
fn the_file_exporter_alone_writes_the_local_log() {
    let server = Receiver::start();
    let operator = Operator::new()
        .with("LMCACHE_USAGE_TRACK_URL", server.url())
        .with("OTEL_USAGE_EXPORTERS", "file");
    let usage = operator
        .engine(&lmcache::V1)
        .with_local_log("~/.config/lmcache/usage.log")
        .try_init()
        .unwrap();
    usage.record(sample::lmcache_engine());
    settled(&usage);
    drop(usage);
    let log = std::fs::read_to_string(operator.path(".config/lmcache/usage.log")).unwrap();
    assert!(log.starts_with("message_type: EnvMessage\nschema_version: 1\n"), "{log}");
    assert!(log.contains("\n\nmessage_type: EngineMessage\n"), "{log}");
    assert!(log.contains("\nkv_shape: (32, 2, 256, 8, 128)\n"), "{log}");
    assert!(log.contains("\nremote_url: redis://\n"), "{log}");
    assert!(server.is_silent());
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_the_local_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let operator = Operator::new().with("OTEL_USAGE_EXPORTERS", "file");
    let usage = operator.engine(&vllm::CURRENT).try_init().unwrap();
    usage.record(sample::vllm_report());
    settled(&usage);
    let metadata = std::fs::metadata(operator.path(".config/vllm/usage_stats.json")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
}

#[test]
fn an_engine_without_a_server_sends_nothing() {
    let mut contract = lmcache::V1.clone();
    contract.server = None;
    contract.server_variable = None;
    let usage =
        Usage::builder(&contract).with_environment(Operator::new().env()).try_init().unwrap();
    usage.record(Attributes::new("lmcache.engine"));
    assert_eq!(usage.flush(PATIENCE), Flush::Settled);
    assert!(usage.stats().exporters.is_empty());
}

#[test]
fn the_notice_precedes_an_own_network_exporter() {
    /// Whether the notice came before the record.
    #[derive(Debug)]
    struct After(Arc<AtomicBool>, Arc<AtomicBool>);
    impl Exporter for After {
        fn name(&self) -> &str {
            "after"
        }
        fn is_network(&self) -> bool {
            true
        }
        fn export(&mut self, _: &ExportRecord) -> Outcome {
            self.1.store(self.0.load(Ordering::SeqCst), Ordering::SeqCst);
            Outcome::Delivered
        }
    }
    let (told, in_time) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    // This test has its own contract, because the notice comes once per process and contract.
    let mut contract = vllm::CURRENT.clone();
    contract.id = "test/notice".into();
    let tell = Arc::clone(&told);
    let usage = Operator::new()
        .engine(&contract)
        .with_exporters([])
        .on_notice(move |_, _| tell.store(true, Ordering::SeqCst))
        .with_exporter(After(told, Arc::clone(&in_time)))
        .try_init()
        .unwrap();
    usage.record(sample::vllm_report());
    settled(&usage);
    assert!(in_time.load(Ordering::SeqCst), "a report left before the notice");
}
