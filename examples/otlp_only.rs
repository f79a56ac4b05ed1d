//! Sends the records by OTLP only, to any OpenTelemetry receiver. Here the receiver runs in this process.
//!
//! ```sh
//! cargo run --example otlp_only
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use otel_usage::Usage;
use otel_usage::schema::lmcache;
use otel_usage::settings::Env;
use otel_usage_testing::receiver::Receiver;
use otel_usage_testing::sample;
use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (collector, home) = (Receiver::start(), tempfile::tempdir()?);
    let usage = Usage::builder(&lmcache::V1)
        .with_sample_data()
        .with_environment(Env::given([
            ("HOME", home.path().display().to_string()),
            ("OTEL_USAGE_MODE", "on".to_owned()),
            ("OTEL_USAGE_EXPORTERS", "otlp".to_owned()),
            ("OTEL_USAGE_OTLP_ENDPOINT", collector.url()),
        ]))
        .with_version("0.5.6")
        .try_init()?;
    usage.record(sample::lmcache_engine());
    usage.finish();

    // Three records, and the span of the whole run.
    for request in collector.take(4) {
        let decoded = ExportTraceServiceRequest::decode(request.body.as_slice())?;
        for group in decoded.resource_spans {
            let resource = group.resource.unwrap_or_default();
            for span in group.scope_spans.iter().flat_map(|scope| &scope.spans) {
                println!(
                    "POST {}  span `{}`, {} resource attributes, {} span attributes, {} link(s)",
                    request.path,
                    span.name,
                    resource.attributes.len(),
                    span.attributes.len(),
                    span.links.len(),
                );
            }
        }
    }
    Ok(())
}
