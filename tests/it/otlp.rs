//! The bytes, headers and answers of the `otlp` exporter, compared with OpenTelemetry's own exporter.

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry::Value;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_sdk::trace::SpanExporter as _;
use otel_usage::clock::Clock;
use otel_usage::schema::{Loss, vllm};
use otel_usage::{Attributes, Stats, Usage};
use otel_usage_testing::{Collected, Operator, sample, settled};
use prost::Message as _;

use crate::receiver::{Answer, Receiver};

/// A client of OpenTelemetry's exporter that keeps each body.
#[derive(Debug, Clone, Default)]
struct Caught(Arc<Mutex<Vec<Vec<u8>>>>);

#[async_trait::async_trait]
impl HttpClient for Caught {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.0.lock().unwrap().push(request.into_body().to_vec());
        Ok(Response::new(Bytes::new()))
    }
}

/// The request with the Resource attributes in the order of their names: that of the SDK is not fixed.
fn sorted(body: &[u8]) -> Vec<u8> {
    let mut request = ExportTraceServiceRequest::decode(body).unwrap();
    for group in &mut request.resource_spans {
        group.resource.as_mut().unwrap().attributes.sort_by(|a, b| a.key.cmp(&b.key));
    }
    request.encode_to_vec()
}

/// The request without the random ids of its span.
fn without_ids(body: &[u8]) -> Vec<u8> {
    let mut request = ExportTraceServiceRequest::decode(body).unwrap();
    for scope in request.resource_spans.iter_mut().flat_map(|group| &mut group.scope_spans) {
        for span in &mut scope.spans {
            (span.trace_id, span.span_id) = (vec![0; 16], vec![0; 8]);
        }
    }
    request.encode_to_vec()
}

fn operator(collector: &Receiver) -> Operator {
    Operator::new()
        .with("OTEL_USAGE_EXPORTERS", "otlp")
        .with("OTEL_USAGE_OTLP_ENDPOINT", collector.url())
}

#[test]
fn the_bytes_are_those_of_the_stock_exporter() {
    let collector = Receiver::start();
    let collected = Collected::default();
    let usage = operator(&collector)
        .engine(&vllm::CURRENT)
        .with_accelerators(sample::accelerators())
        .with_exporter(collected.clone())
        .try_init()
        .unwrap();
    usage.record(sample::vllm_report());
    settled(&usage);
    let ours = collector.next().body;
    let record = collected.records().remove(0);

    let caught = Caught::default();
    let mut stock = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(caught.clone())
        .with_endpoint("http://127.0.0.1:9/v1/traces")
        .build()
        .unwrap();
    stock.set_resource(&record.resource());
    let exported = std::pin::pin!(stock.export(vec![record.span()]));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(exported.poll(&mut context).is_ready());
    let theirs = caught.0.lock().unwrap().remove(0);
    assert_eq!(sorted(&ours), sorted(&theirs));
    let request = ExportTraceServiceRequest::decode(ours.as_slice()).unwrap();
    assert_eq!(request.encode_to_vec(), ours, "the encoding is the canonical one");
    let group = &request.resource_spans[0];
    for url in [&group.schema_url, &group.scope_spans[0].schema_url] {
        assert_eq!(url, "https://opentelemetry.io/schemas/1.44.0");
    }
    let names: Vec<_> = group.resource.iter().flat_map(|r| &r.attributes).map(|a| &a.key).collect();
    for name in ["telemetry.sdk.name", "telemetry.sdk.language", "telemetry.sdk.version"] {
        assert!(names.iter().any(|key| *key == name), "{names:?}");
    }
}

/// Runs in a child process: one record by the environment of the process.
#[test]
#[ignore = "a child process of the test below"]
fn child_sends_one_record() {
    let usage = Usage::builder(&vllm::CURRENT)
        .with_sample_data()
        .with_accelerators(sample::accelerators())
        .with_clock(Clock::fixed(1_787_206_513_123_456_000))
        .try_init()
        .unwrap();
    usage.record(sample::vllm_report());
    settled(&usage);
}

#[test]
fn hostile_otlp_variables_beside_an_own_endpoint_change_neither_bytes_nor_headers() {
    let collector = Receiver::start();
    let home = tempfile::tempdir().unwrap();
    let sent = |hostile: bool| {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child
            .args(["--exact", "otlp::child_sends_one_record", "--ignored"])
            .env("HOME", home.path())
            .env("OTEL_USAGE_MODE", "on")
            .env("OTEL_USAGE_EXPORTERS", "otlp")
            .env("OTEL_USAGE_OTLP_ENDPOINT", collector.url());
        let values = [
            ("ENDPOINT", "http://127.0.0.1:9/secret"),
            ("HEADERS", "authorization=Bearer%20secret,host=secret"),
            ("PROTOCOL", "grpc"),
            ("COMPRESSION", "gzip"),
            ("TIMEOUT", "1"),
            ("CERTIFICATE", "/nowhere/secret.pem"),
            ("CLIENT_CERTIFICATE", "/nowhere/secret.pem"),
            ("CLIENT_KEY", "/nowhere/secret.pem"),
            ("INSECURE", "true"),
        ];
        if hostile {
            for (name, value) in values {
                child.env(format!("OTEL_EXPORTER_OTLP_{name}"), value);
                child.env(format!("OTEL_EXPORTER_OTLP_TRACES_{name}"), value);
            }
        }
        let output = child.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let request = collector.next();
        collector.requests.try_iter().for_each(drop);
        request
    };
    let (plain, hostile) = (sent(false), sent(true));
    assert_eq!(plain.path, hostile.path);
    assert_eq!(plain.headers, hostile.headers);
    assert_eq!(without_ids(&plain.body), without_ids(&hostile.body));
    let version = env!("CARGO_PKG_VERSION");
    let agent = format!("otel-usage/{version} OTel-OTLP-Exporter-Rust/{version}");
    assert_eq!(plain.header("user-agent"), Some(agent.as_str()));
}

/// The account of one record that a collector answers like this, and the number of requests.
fn answered(first: Answer) -> (Stats, usize) {
    let collector = Receiver::scripted(vec![first], Answer::Status(200, ""));
    let usage = operator(&collector).engine(&vllm::CURRENT).try_init().unwrap();
    usage.record(sample::vllm_report());
    // Each flush tries once more at once.
    let _ = usage.flush(Duration::from_millis(50));
    settled(&usage);
    let stats = usage.stats();
    usage.withdraw();
    (stats, collector.requests.try_iter().count())
}

#[test]
fn only_four_statuses_are_temporary() {
    for (status, tries) in
        [(429, 2), (502, 2), (503, 2), (504, 2), (400, 1), (408, 1), (500, 1), (501, 1)]
    {
        let (stats, requests) = answered(Answer::Status(status, ""));
        let account = stats.exporters.iter().find(|one| one.name == "otlp").unwrap();
        assert_eq!((requests, account.delivered), (tries, tries as u64 - 1), "{status}");
    }
}

#[test]
fn a_span_that_a_partial_success_rejects_is_counted_as_refused() {
    for (rejected_spans, delivered) in [(1, 0), (0, 1)] {
        let partial = ExportTracePartialSuccess { rejected_spans, error_message: "no".to_owned() };
        let body = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        let (stats, requests) = answered(Answer::Body(body));
        let account = stats.exporters.iter().find(|one| one.name == "otlp").unwrap();
        assert_eq!((requests, account.delivered), (1, delivered));
        let refused = account.dropped.get(&Loss::Refused).copied().unwrap_or(0);
        assert_eq!(refused, 1 - delivered);
    }
}

#[test]
fn a_client_certificate_and_its_key_are_read_and_each_needs_the_other() {
    let collector = Receiver::start();
    let pair = rcgen::generate_simple_self_signed(["engine".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let chain = write("chain.pem", pair.cert.pem());
    let key = write("key.pem", pair.signing_key.serialize_pem());
    let (of_chain, of_key) = ("OTEL_USAGE_OTLP_CLIENT_CERTIFICATE", "OTEL_USAGE_OTLP_CLIENT_KEY");
    for (variables, warning) in [
        (vec![(of_chain, &chain), (of_key, &key)], None),
        (vec![(of_chain, &chain)], Some(of_chain)),
        (vec![(of_key, &key)], Some(of_key)),
        (vec![(of_chain, &key), (of_key, &key)], Some("no certificate")),
        (vec![(of_chain, &chain), (of_key, &chain)], Some("no private key")),
    ] {
        let operator = variables
            .into_iter()
            .fold(operator(&collector), |operator, (name, value)| operator.with(name, value));
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&warnings);
        let builder = operator.engine(&vllm::CURRENT).on_notice(move |level, text| {
            if level == tracing::Level::WARN {
                heard.lock().unwrap().push(text.to_owned());
            }
        });
        let usage = builder.try_init().unwrap();
        usage.record(sample::vllm_report());
        settled(&usage);
        let warnings = warnings.lock().unwrap().clone();
        assert_eq!(warnings.len(), usize::from(warning.is_some()), "{warnings:?}");
        assert!(warning.is_none_or(|what| warnings[0].contains(what)), "{warnings:?}");
    }
}

#[test]
fn losses_ride_with_the_next_otlp_report_and_never_on_the_flat_wire() {
    // The flat bodies, and the counts that each span carries.
    let run = |lossy: bool| {
        let (server, collector) = (Receiver::start(), Receiver::start());
        let operator = Operator::new()
            .with("VLLM_USAGE_STATS_SERVER", server.url())
            .with("OTEL_USAGE_EXPORTERS", "server,otlp")
            .with("OTEL_USAGE_OTLP_ENDPOINT", collector.url());
        let clock = Clock::fixed(1_787_206_513_000_000_000);
        let usage = operator.engine(&vllm::V0_4_0).with_clock(clock).try_init().unwrap();
        for _ in 0..2 {
            let mut report = Attributes::new(vllm::REPORT);
            if lossy {
                report = report.with("no.such.attribute", 1_i64);
            }
            usage.record(report);
            settled(&usage);
        }
        let flat: Vec<String> = server.take(2).iter().map(|request| request.text()).collect();
        let counts: Vec<Vec<(String, i64)>> = collector
            .take(2)
            .iter()
            .map(|request| {
                let (_, span) = otel_usage_testing::otlp::decode(&request.body).pop().unwrap();
                let attributes = span.attributes.iter();
                attributes
                    .filter(|one| one.key.as_str().starts_with("otel_usage.dropped."))
                    .map(|one| match one.value {
                        Value::I64(count) => (one.key.to_string(), count),
                        _ => panic!("{one:?}"),
                    })
                    .collect()
            })
            .collect();
        (flat, counts)
    };
    let ((flat, none), (lossy, counts)) = (run(false), run(true));
    assert_eq!(flat, lossy);
    assert!(none.iter().all(Vec::is_empty), "{none:?}");
    let name = Loss::UndeclaredAttribute.attribute().unwrap().to_owned();
    assert_eq!(counts, [vec![(name.clone(), 1)], vec![(name, 2)]]);
}

#[test]
fn an_opt_out_is_not_reported_among_the_losses() {
    assert_eq!(Loss::Consent.attribute(), None);
    let others = Loss::ALL.iter().filter(|loss| **loss != Loss::Consent);
    assert!(
        others.into_iter().all(|loss| {
            loss.attribute() == Some(format!("otel_usage.dropped.{loss}").as_str())
        })
    );
}
