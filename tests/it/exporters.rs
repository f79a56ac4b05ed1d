//! The exporters: which run, what each puts out, several at once, and how a server's answers count.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_sdk::trace::SdkTracerProvider;
use otel_usage::schema::{lmcache, transport, vllm};
use otel_usage::{Attributes, Exporter, Flush, Loss, Outcome, Report, Sink, Stats, Usage};

use crate::receiver::{Answer, Receiver, Request};
use crate::sample;
use crate::support::{Collected, Operator, PATIENCE, keys, otlp, settled};

fn sink(stats: &Stats, name: &str) -> otel_usage::SinkStats {
    stats.sinks.iter().find(|sink| sink.name == name).cloned().unwrap_or_default()
}

fn types(requests: &[Request]) -> Vec<String> {
    requests
        .iter()
        .map(|request| {
            let json: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
            json["message_type"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[test]
fn the_server_gets_one_flat_object_per_post_at_the_right_endpoint_in_order() {
    let server = Receiver::start();
    let operator =
        Operator::new().with("LMCACHE_USAGE_TRACK_URL", format!("{}/base/", server.url()));
    let usage = operator.engine(&lmcache::V1).init().unwrap();
    usage.start(sample::lmcache_engine());
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
    assert_eq!(sink(&usage.stats(), "server").delivered, 3);
}

#[test]
fn a_multi_process_server_sends_no_engine_metadata() {
    let server = Receiver::start();
    let operator = Operator::new().with("LMCACHE_USAGE_TRACK_URL", server.url());
    let usage = operator
        .engine(&lmcache::V1)
        .with_attribute(lmcache::DEPLOYMENT_MODE, "mp_server")
        .init()
        .unwrap();
    usage.start(lmcache::MpServer { chunk_size: 256, ..Default::default() });
    settled(&usage);
    drop(usage);
    let requests: Vec<Request> = server.requests.try_iter().collect();
    // Its end sends the interval that has begun.
    let expected = ["EnvMessage", "MPServerMessage", "ContinuousContextMessage", "L1UsageMessage"];
    assert_eq!(types(&requests), expected);
    assert!(requests[0].text().contains("\"deployment_mode\": \"mp_server\""));
}

#[test]
fn the_documented_metadata_comes_at_the_end_with_the_runs_duration() {
    let server = Receiver::start();
    let operator = Operator::new().with("LMCACHE_USAGE_TRACK_URL", server.url());
    let usage = operator.engine(&lmcache::DOC).init().unwrap();
    usage.start(sample::lmcache_engine());
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
fn server_file_otlp_and_a_sink_of_the_engine_get_the_same_records_at_the_same_time() {
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
        .with_sink(collected.clone())
        .init()
        .unwrap();
    usage.start(sample::vllm_report());
    let (flat, span) = (server.next(), collector.next());
    settled(&usage);

    let file = std::fs::read_to_string(operator.path(".config/vllm/usage_stats.json")).unwrap();
    assert_eq!(file, format!("{}\n", flat.text()));
    assert_eq!(collected.reports()[0].message().unwrap().to_json(), flat.text());

    assert_eq!(span.path, "/v1/traces");
    assert_eq!(span.header("content-type"), Some("application/x-protobuf"));
    assert_eq!(span.header("x-tenant"), Some("a b"));
    // The operator's tracing credentials, where the environment has some.
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
    assert_eq!(attribute(transport::RECORD).as_deref(), Some("vllm.report"));
    assert_eq!(attribute(transport::DELIVERY).as_deref(), Some("direct"));
    assert_eq!(data.instrumentation_scope.name(), otel_usage::SCOPE);

    // Another process makes the very same bytes from it.
    let compiled = otel_usage::schema::CompiledContract::new(&vllm::CURRENT).unwrap();
    let environment = compiled.read_resource(resource);
    let record = compiled.read_span(data, &mut |loss, name| panic!("{loss} {name}")).unwrap();
    assert_eq!(
        otel_usage::flatten(&compiled, &environment, &record).unwrap().to_json(),
        flat.text()
    );
}

#[test]
fn the_span_of_the_run_goes_to_otlp_only_and_every_report_links_to_it() {
    let (server, collector) = (Receiver::start(), Receiver::start());
    let operator = Operator::new()
        .with("OTEL_USAGE_EXPORTERS", "server,otlp")
        .with("LMCACHE_USAGE_TRACK_URL", server.url())
        .with("OTEL_USAGE_OTLP_ENDPOINT", collector.url());
    let usage = operator.engine(&lmcache::V1).init().unwrap();
    usage.start(sample::lmcache_engine());
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
fn gzip_is_a_setting() {
    let collector = Receiver::start();
    let operator = Operator::new()
        .with("OTEL_USAGE_EXPORTERS", "otlp")
        .with("OTEL_USAGE_OTLP_ENDPOINT", collector.url())
        .with("OTEL_USAGE_OTLP_COMPRESSION", "gzip");
    let usage = operator.engine(&vllm::CURRENT).init().unwrap();
    usage.start(sample::vllm_report());
    let request = collector.next();
    assert_eq!(request.header("content-encoding"), Some("gzip"));
    let mut body = Vec::new();
    flate2::read::GzDecoder::new(request.body.as_slice()).read_to_end(&mut body).unwrap();
    let spans = otlp::decode(&body);
    // Nobody else delivers it, so the bridge must.
    assert!(spans[0].1.attributes.iter().all(|a| a.key.as_str() != transport::DELIVERY));
    drop(usage);
}

#[test]
fn exporters_are_chosen_by_the_environment_and_the_builder_wins() {
    let chosen = |operator: &Operator, contract| {
        operator.engine(contract).with_server("http://127.0.0.1:9").settings().exporters
    };
    let operator = Operator::new();
    assert_eq!(chosen(&operator, &vllm::CURRENT), [Exporter::File, Exporter::Server]);
    assert_eq!(chosen(&operator, &lmcache::V1), [Exporter::Server]);
    let operator = Operator::new().with("OTEL_USAGE_EXPORTERS", " Console , FILE ");
    assert_eq!(chosen(&operator, &vllm::CURRENT), [Exporter::Console, Exporter::File]);
    let operator = Operator::new().with("OTEL_USAGE_EXPORTERS", "server,none");
    assert_eq!(chosen(&operator, &vllm::CURRENT), []);
    let builder = operator.engine(&vllm::CURRENT).with_exporters([Exporter::Console]);
    assert_eq!(builder.settings().exporters, [Exporter::Console]);
    // An empty URL has always meant "the local file only".
    let operator = Operator::new().with("VLLM_USAGE_STATS_SERVER", "");
    let settings = operator.engine(&vllm::CURRENT).settings();
    assert_eq!(settings.exporters, [Exporter::File]);
    assert!(settings.warnings.is_empty());
}

#[test]
fn local_log_is_a_text_log_and_may_stand_instead_of_sending() {
    let server = Receiver::start();
    let operator = Operator::new()
        .with("LMCACHE_USAGE_TRACK_URL", server.url())
        .with("OTEL_USAGE_EXPORTERS", "file");
    let usage =
        operator.engine(&lmcache::V1).with_local_log("~/.config/lmcache/usage.log").init().unwrap();
    usage.start(sample::lmcache_engine());
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
fn the_local_file_is_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let operator = Operator::new().with("OTEL_USAGE_EXPORTERS", "file");
    let usage = operator.engine(&vllm::CURRENT).init().unwrap();
    usage.start(sample::vllm_report());
    settled(&usage);
    let metadata = std::fs::metadata(operator.path(".config/vllm/usage_stats.json")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_may_be_tried_again_is_tried_again_and_the_rest_is_counted() {
    for (script, delivered, dropped) in [
        (vec![Answer::Status(500, ""), Answer::Status(503, "Retry-After: 0\r\n")], 1, 0),
        (vec![Answer::Status(429, ""), Answer::BreakOff], 1, 0),
        (vec![Answer::Status(408, "")], 1, 0),
        (vec![Answer::Status(400, "")], 0, 1),
        (vec![Answer::Status(404, "")], 0, 1),
        // Nobody consented to being sent elsewhere.
        (vec![Answer::Status(302, "Location: http://127.0.0.1:9/\r\n")], 0, 1),
    ] {
        let tries = if delivered == 1 { script.len() + 1 } else { 1 };
        let server = Receiver::scripted(script, Answer::Status(200, ""));
        let operator = Operator::new().with("VLLM_USAGE_STATS_SERVER", server.url());
        let usage = operator.engine(&vllm::V0_4_0).init().unwrap();
        usage.start(sample::vllm_report());
        // Each flush tries once more at once; without it the second try comes after a second.
        for _ in 0..tries {
            let _ = usage.flush(Duration::from_millis(50));
        }
        settled(&usage);
        let account = sink(&usage.stats(), "server");
        assert_eq!(account.delivered, delivered);
        assert_eq!(account.dropped.values().sum::<u64>(), dropped);
        assert_eq!(account.accepted, account.delivered + account.queued + dropped);
        assert_eq!(server.requests.try_iter().count(), tries);
    }
}

#[test]
fn flush_says_what_still_waits() {
    let server = Receiver::scripted(Vec::new(), Answer::Status(503, "Retry-After: 600\r\n"));
    let operator = Operator::new().with("LMCACHE_USAGE_TRACK_URL", server.url());
    let usage = operator.engine(&lmcache::V1).init().unwrap();
    usage.start(sample::lmcache_engine());
    let _ = server.next();
    assert_eq!(usage.flush(Duration::from_millis(300)), Flush::Memory(3));
    assert_eq!(sink(&usage.stats(), "server").queued, 3);
}

#[test]
fn withdrawal_drops_what_waits_and_silences_the_rest() {
    let server = Receiver::scripted(Vec::new(), Answer::Status(503, ""));
    let operator = Operator::new()
        .with("VLLM_USAGE_STATS_SERVER", server.url())
        .with("OTEL_USAGE_EXPORTERS", "server,file");
    let usage = operator.engine(&vllm::CURRENT).init().unwrap();
    usage.start(sample::vllm_report());
    let _ = server.next();
    usage.withdraw();
    settled(&usage);
    assert_eq!(sink(&usage.stats(), "server").dropped[&Loss::Consent], 1);
    let file = operator.path(".config/vllm/usage_stats.json");
    let size = std::fs::metadata(&file).unwrap().len();
    usage.start(sample::vllm_report());
    settled(&usage);
    drop(usage);
    assert_eq!(std::fs::metadata(&file).unwrap().len(), size);
    assert!(server.is_silent());
}

#[test]
fn a_marker_file_made_while_running_stops_everything() {
    let server = Receiver::start();
    let operator = Operator::new().with("VLLM_USAGE_STATS_SERVER", server.url());
    let usage = operator.engine(&vllm::CURRENT).init().unwrap();
    usage.start(sample::vllm_report());
    let _ = server.next();
    settled(&usage);
    std::fs::write(operator.path(".config/vllm/do_not_track"), "").unwrap();
    usage.start(sample::vllm_report());
    settled(&usage);
    assert!(server.is_silent());
    let file = std::fs::read_to_string(operator.path(".config/vllm/usage_stats.json")).unwrap();
    assert_eq!(file.lines().count(), 1);
    assert_eq!(usage.stats().lost[&Loss::Consent], 1);
}

#[test]
fn local_consent_keeps_reports_on_this_machine() {
    let (server, collector) = (Receiver::start(), Receiver::start());
    let operator = Operator::new()
        .with("OTEL_USAGE_MODE", "local")
        .with("OTEL_USAGE_EXPORTERS", "server,otlp,file")
        .with("OTEL_USAGE_OTLP_ENDPOINT", collector.url())
        .with("VLLM_USAGE_STATS_SERVER", server.url());
    let usage = operator.engine(&vllm::CURRENT).init().unwrap();
    usage.start(sample::vllm_report());
    settled(&usage);
    drop(usage);
    assert!(operator.path(".config/vllm/usage_stats.json").exists());
    assert!(server.is_silent() && collector.is_silent());
}

/// A sink of the engine's own that leaves the machine.
#[derive(Debug)]
struct Elsewhere(Collected);

impl Sink for Elsewhere {
    fn name(&self) -> &str {
        "elsewhere"
    }

    fn is_network(&self) -> bool {
        true
    }

    fn take(&mut self, report: &Report) -> Outcome {
        self.0.take(report)
    }
}

#[test]
fn a_mode_file_that_says_local_while_running_stops_the_network_only() {
    let (server, elsewhere, here) = (Receiver::start(), Collected::default(), Collected::default());
    let operator = Operator::new().with("LMCACHE_USAGE_TRACK_URL", server.url());
    let usage = operator
        .engine(&lmcache::V1)
        .with_sink(Elsewhere(elsewhere.clone()))
        .with_sink(here.clone())
        .init()
        .unwrap();
    usage.start(sample::lmcache_engine());
    settled(&usage);
    assert_eq!(
        (server.take(3).len(), elsewhere.messages().len(), here.messages().len()),
        (3, 3, 3)
    );

    std::fs::create_dir_all(operator.path(".config/otel-usage")).unwrap();
    std::fs::write(operator.path(".config/otel-usage/mode"), "local").unwrap();
    usage.start(sample::lmcache_engine());
    settled(&usage);
    assert!(server.is_silent());
    assert_eq!((elsewhere.messages().len(), here.messages().len()), (3, 4));
    assert_eq!(sink(&usage.stats(), "elsewhere").dropped[&Loss::Consent], 1);
}

#[test]
fn the_exporter_works_in_a_stock_provider() {
    let server = Receiver::start();
    let operator = Operator::new().with("LMCACHE_USAGE_TRACK_URL", server.url());
    let exporter = operator.engine(&lmcache::V1).exporter().unwrap();
    let provider = SdkTracerProvider::builder()
        // In code, so that the test also passes where the environment says otherwise.
        .with_sampler(opentelemetry_sdk::trace::Sampler::AlwaysOn)
        .with_span_limits(opentelemetry_sdk::trace::SpanLimits::default())
        .with_resource(
            opentelemetry_sdk::Resource::builder_empty()
                .with_service_name("operators-name")
                .with_attribute(opentelemetry::KeyValue::new("host.name", "operators-host"))
                .with_attribute(opentelemetry::KeyValue::new(
                    "lmcache.deployment_mode",
                    "mp_server",
                ))
                .build(),
        )
        .with_batch_exporter(exporter)
        .build();
    use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
    let tracer = provider.tracer("engine");
    drop(tracer.start("a request of the engine"));
    // A span that carries the report as an event, as the engine may be used to.
    let mut span = tracer.start("start-up");
    span.add_event(
        "lmcache.mp_server",
        vec![opentelemetry::KeyValue::new("lmcache.chunk_size", 64)],
    );
    drop(span);
    provider.shutdown().unwrap();
    let requests: Vec<Request> = server.requests.try_iter().collect();
    assert_eq!(types(&requests), ["EnvMessage", "MPServerMessage"]);
    assert!(requests[0].text().contains("\"deployment_mode\": \"mp_server\""));
    assert!(requests[1].text().contains("\"chunk_size\": 64"));
    assert!(requests.iter().all(|request| !request.text().contains("operators-")));
}

#[test]
fn an_engine_without_a_server_of_its_own_sends_nowhere() {
    let mut contract = lmcache::V1.clone();
    contract.server = None;
    contract.server_variable = None;
    let usage = Usage::builder(&contract).with_environment(Operator::new().env()).init().unwrap();
    usage.start(Attributes::of("lmcache.engine"));
    assert_eq!(usage.flush(PATIENCE), Flush::Durable);
    assert!(usage.stats().sinks.is_empty());
}

#[test]
fn the_notice_also_comes_before_a_network_sink_of_the_engine() {
    /// Whether the notice had been given when the report came.
    #[derive(Debug)]
    struct After(Arc<AtomicBool>, Arc<AtomicBool>);
    impl Sink for After {
        fn name(&self) -> &str {
            "after"
        }
        fn is_network(&self) -> bool {
            true
        }
        fn take(&mut self, _: &Report) -> Outcome {
            self.1.store(self.0.load(Ordering::SeqCst), Ordering::SeqCst);
            Outcome::Delivered
        }
    }
    let (told, in_time) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    // The notice comes once per process and contract: one of this test's own.
    let mut contract = vllm::CURRENT.clone();
    contract.id = "test/notice".into();
    let tell = Arc::clone(&told);
    let usage = Operator::new()
        .engine(&contract)
        .with_exporters([])
        .with_messages(move |_, _| tell.store(true, Ordering::SeqCst))
        .with_sink(After(told, Arc::clone(&in_time)))
        .init()
        .unwrap();
    usage.start(sample::vllm_report());
    settled(&usage);
    assert!(in_time.load(Ordering::SeqCst), "a report left before the notice");
}
