//! Checks the stock `SpanExporter`: in a provider of the engine, and at its end.

use std::sync::mpsc;
use std::time::Duration;

use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanExporter as _};
use otel_usage::export::{ExportRecord, Exporter, Outcome, Turn};
use otel_usage::schema::{Loss, lmcache};
use otel_usage_testing::{Operator, sample, turns};

use crate::exporters::types;
use crate::receiver::{Answer, Receiver, Request};

#[test]
fn a_shut_down_span_exporter_refuses_spans_and_obeys_its_timeout() {
    let server = Receiver::scripted(vec![Answer::Status(503, "")], Answer::Hang);
    let operator = Operator::new()
        .with("LMCACHE_USAGE_TRACK_URL", server.url())
        .with("OTEL_USAGE_SPOOL_DIR", "none");
    let exporter = operator.engine(&lmcache::V1).span_exporter().unwrap();
    let exported = |spans| {
        let exported = std::pin::pin!(exporter.export(spans));
        match exported.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
            std::task::Poll::Ready(result) => result,
            std::task::Poll::Pending => panic!("the exporter works on this thread"),
        }
    };
    let span = || {
        let preview = operator.engine(&lmcache::V1).inspect().unwrap();
        preview.preview(sample::lmcache_engine()).pop().unwrap().span()
    };
    assert!(exported(vec![span()]).is_err(), "the server fails");
    let timeout = Duration::from_millis(200);
    let (result, waited) = turns(|| exporter.shutdown_with_timeout(timeout));
    assert!(matches!(result, Err(OTelSdkError::Timeout(_))), "{result:?}");
    // Two seconds.
    assert!(waited < 200, "{waited}");
    assert!(matches!(exported(vec![span()]), Err(OTelSdkError::AlreadyShutdown)));
    assert!(matches!(exporter.shutdown(), Err(OTelSdkError::AlreadyShutdown)));
    let account = &exporter.stats().exporters[0];
    assert_eq!(account.queued, 0, "what did not leave in time is counted as lost");
    assert_eq!(account.accepted, account.dropped.values().sum::<u64>());
}

/// Queues every message, and sends none until a test lets it go on.
#[derive(Debug)]
struct Stuck {
    sending: mpsc::Sender<()>,
    go_on: mpsc::Receiver<()>,
}

impl Exporter for Stuck {
    fn name(&self) -> &str {
        "stuck"
    }

    fn is_network(&self) -> bool {
        false
    }

    fn export(&mut self, _: &ExportRecord) -> Outcome {
        Outcome::Queued
    }

    fn send_queued(&mut self, _: &mut Turn<'_>) -> Option<std::time::Instant> {
        self.sending.send(()).unwrap();
        let _ = self.go_on.recv();
        None
    }
}

#[test]
fn a_shutdown_during_an_export_gives_up_in_time_and_the_messages_count_as_lost() {
    let ((sending, is_sending), (release, go_on)) = (mpsc::channel(), mpsc::channel());
    let operator = Operator::new().with("OTEL_USAGE_EXPORTERS", "none");
    let builder = operator.engine(&lmcache::V1).with_exporter(Stuck { sending, go_on });
    let exporter = builder.span_exporter().unwrap();
    let preview = operator.engine(&lmcache::V1).inspect().unwrap();
    let span = preview.preview(sample::lmcache_engine()).pop().unwrap().span();
    std::thread::scope(|scope| {
        scope.spawn(|| otel_usage_testing::export(&exporter, vec![span]));
        is_sending.recv().unwrap();
        let result = exporter.shutdown_with_timeout(Duration::from_millis(5));
        assert!(matches!(result, Err(OTelSdkError::Timeout(_))), "{result:?}");
        release.send(()).unwrap();
    });
    let account = &exporter.stats().exporters[0];
    assert_eq!(account.queued, 0, "{account:?}");
    assert!(account.accepted > 0, "{account:?}");
    assert_eq!(account.dropped.get(&Loss::Abandoned), Some(&account.accepted), "{account:?}");
}

#[test]
fn the_span_exporter_works_in_a_stock_provider() {
    let server = Receiver::start();
    let operator = Operator::new().with("LMCACHE_USAGE_TRACK_URL", server.url());
    let exporter = operator.engine(&lmcache::V1).span_exporter().unwrap();
    let provider = SdkTracerProvider::builder()
        // Set in code, so that the test does not depend on the environment.
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
    // A span that carries the record as an event.
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
