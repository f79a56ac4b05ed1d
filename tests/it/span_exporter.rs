//! Checks the stock `SpanExporter`: in a provider of the engine, and at its end.

use std::time::Duration;

use opentelemetry_sdk::trace::SdkTracerProvider;
use otel_usage::schema::lmcache;
use otel_usage_testing::{Operator, sample};

use crate::exporters::types;
use crate::receiver::{Answer, Receiver, Request};

#[test]
fn a_shut_down_span_exporter_refuses_spans_and_obeys_its_timeout() {
    use opentelemetry_sdk::error::OTelSdkError;
    use opentelemetry_sdk::trace::SpanExporter as _;
    let server =
        Receiver::scripted(vec![Answer::Status(503, "Retry-After: 600\r\n")], Answer::Hang);
    let operator = Operator::new().with("LMCACHE_USAGE_TRACK_URL", server.url());
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
    assert!(exported(vec![span()]).is_err(), "the server asked to wait");
    let start = std::time::Instant::now();
    let timeout = Duration::from_millis(200);
    let result = exporter.shutdown_with_timeout(timeout);
    assert!(matches!(result, Err(OTelSdkError::Timeout(_))), "{result:?}");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(matches!(exported(vec![span()]), Err(OTelSdkError::AlreadyShutdown)));
    assert!(matches!(exporter.shutdown(), Err(OTelSdkError::AlreadyShutdown)));
    let account = &exporter.stats().exporters[0];
    assert_eq!(account.queued, 0, "what did not leave in time is counted as lost");
    assert_eq!(account.accepted, account.dropped.values().sum::<u64>());
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
