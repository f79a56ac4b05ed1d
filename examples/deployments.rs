//! Runs one engine in six deployments. The operator chooses the exporters by environment variables alone, and
//! then the same by a configuration file.
//!
//! ```sh
//! cargo run --example deployments
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Duration;

use otel_usage::Usage;
use otel_usage::schema::vllm;
use otel_usage::settings::Env;
use otel_usage_testing::receiver::Receiver;
use otel_usage_testing::sample;

/// The choice of an operator: in variables, and the same in a configuration file.
struct Deployment {
    name: &'static str,
    variables: &'static [(&'static str, &'static str)],
    file: &'static str,
}

const DEPLOYMENTS: [Deployment; 6] = [
    Deployment { name: "as it comes: server and local file", variables: &[], file: "" },
    Deployment {
        name: "the local file only",
        variables: &[("OTEL_USAGE_EXPORTERS", "file")],
        file: "tracer_provider: {processors: [simple: {exporter: {usage_file: }}]}",
    },
    Deployment {
        name: "our own collector only",
        variables: &[("OTEL_USAGE_EXPORTERS", "otlp")],
        file: "
tracer_provider:
  processors:
    - batch: {exporter: {otlp_http: {endpoint: \"${COLLECTOR}/v1/traces\"}}}",
    },
    Deployment {
        name: "server, collector and console",
        variables: &[("OTEL_USAGE_EXPORTERS", "server,otlp,console")],
        file: "
tracer_provider:
  processors:
    - simple: {exporter: {usage_server: }}
    - batch: {exporter: {otlp_http: {endpoint: \"${COLLECTOR}/v1/traces\"}}}
    - simple: {exporter: {console: }}",
    },
    Deployment {
        name: "no exporter",
        variables: &[("OTEL_USAGE_EXPORTERS", "none")],
        file: "tracer_provider: {processors: []}",
    },
    Deployment { name: "opted out", variables: &[("DO_NOT_TRACK", "1")], file: "disabled: true" },
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for deployment in &DEPLOYMENTS {
        let by_variables = run(deployment, false)?;
        let by_file = run(deployment, true)?;
        println!("{}: {by_variables}", deployment.name);
        println!("  the same by a file: {by_file}\n");
        assert_eq!(by_variables, by_file);
    }
    Ok(())
}

/// Runs the engine in a deployment, and returns what arrived where.
fn run(deployment: &Deployment, by_file: bool) -> Result<String, Box<dyn std::error::Error>> {
    let (server, collector, home) = (Receiver::start(), Receiver::start(), tempfile::tempdir()?);
    let mut environment = vec![
        ("HOME", home.path().display().to_string()),
        ("OTEL_USAGE_MODE", "on".to_owned()),
        // vLLM's own variable replaces its real server.
        ("VLLM_USAGE_STATS_SERVER", server.url()),
    ];
    if by_file {
        let path = home.path().join("usage.yaml");
        std::fs::write(&path, format!("file_format: \"1.0\"\n{}\n", deployment.file))?;
        environment.extend([
            ("OTEL_USAGE_CONFIG", path.display().to_string()),
            // The file refers to this variable.
            ("COLLECTOR", collector.url()),
        ]);
    } else {
        environment.push(("OTEL_USAGE_OTLP_ENDPOINT", collector.url()));
        let variables = deployment.variables.iter();
        environment.extend(variables.map(|(name, value)| (*name, (*value).to_owned())));
    }
    engine(Env::given(environment))?;

    let file = home.path().join(".config/vllm/usage_stats.json");
    Ok(format!(
        "{} POST(s) to the server, {} to the collector, local file: {}",
        server.requests.try_iter().count(),
        collector.requests.try_iter().count(),
        if file.exists() { "written" } else { "none" },
    ))
}

/// The engine, whose code is the same in every deployment.
fn engine(environment: Env) -> Result<(), otel_usage::Error> {
    let usage = Usage::builder(&vllm::CURRENT)
        .with_sample_data()
        .with_environment(environment)
        .with_version("0.33.0")
        .with_accelerators(sample::accelerators())
        .try_init()?;
    usage.record(sample::vllm_report());
    let _ = usage.flush(Duration::from_secs(5));
    usage.finish();
    Ok(())
}
