//! Checks the configuration file: chosen exporters, precedence, and narrowed consent.

mod mistakes;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use otel_usage::export::ExporterName;
use otel_usage::schema::Decision;
use otel_usage::schema::vllm;
use otel_usage::settings::Settings;
use otel_usage::{Consent, Usage};
use otel_usage_testing::sample;
use otel_usage_testing::{Operator, otlp, settled};

use crate::receiver::Receiver;

/// Returns an operator whose environment names a file with this text.
fn operator(text: &str) -> Operator {
    let operator = Operator::new();
    let path = operator.path("usage.yaml");
    std::fs::write(&path, text).unwrap();
    operator.with("OTEL_USAGE_CONFIG", path.display().to_string())
}

fn settings(operator: &Operator) -> Settings {
    operator.engine(&vllm::CURRENT).inspect().unwrap().settings().clone()
}

fn decision(operator: &Operator) -> Decision {
    operator.engine(&vllm::CURRENT).inspect().unwrap().decision().clone()
}

/// Returns a file with these processors.
fn processors(exporters: &[&str]) -> String {
    let lines = exporters.iter().map(|one| format!("    - simple: {{exporter: {{{one}}}}}\n"));
    let lines: String = lines.collect();
    format!("file_format: \"1.0\"\ntracer_provider:\n  processors:\n{lines}")
}

/// Returns a file with this second part.
fn own(lines: &str) -> String {
    format!("file_format: \"1.0\"\ndistribution:\n  otel_usage:\n{lines}")
}

#[test]
fn the_file_chooses_the_exporters() {
    let (server, collector) = (Receiver::start(), Receiver::start());
    let operator = operator(&processors(&[
        &format!("usage_server: {{endpoint: \"{}\"}}", server.url()),
        &format!(
            "otlp_http: {{endpoint: \"{}/v1/traces\", headers: [{{name: X-Tenant, value: \"a ${{TENANT}}\"}}]}}",
            collector.url()
        ),
        "usage_file: {path: ~/reports.jsonl}",
    ]))
    .with("TENANT", "b");
    let usage = operator.engine(&vllm::CURRENT).try_init().unwrap();
    usage.record(sample::vllm_report());
    let (flat, span) = (server.next(), collector.next());
    settled(&usage);
    assert_eq!(span.path, "/v1/traces");
    assert_eq!(span.header("x-tenant"), Some("a b"));
    assert_eq!(otlp::decode(&span.body).len(), 1);
    let file = std::fs::read_to_string(operator.path("reports.jsonl")).unwrap();
    assert_eq!(file, format!("{}\n", flat.text()));
    assert!(!operator.path(".config/vllm/usage_stats.json").exists());
}

#[test]
fn a_file_without_exporters_keeps_the_contracts_default() {
    let chosen = |text: &str| settings(&operator(text)).exporters;
    assert_eq!(chosen("file_format: \"1.0\"\n"), [ExporterName::File]);
    assert_eq!(chosen("file_format: \"1.0\"\ntracer_provider:\n  processors: []\n"), []);
    // A broken file does not bring the defaults back.
    assert_eq!(chosen(&processors(&["usage_sever: {}"])), []);
    assert_eq!(chosen("file_format: \"1.0\"\ntracer_provider: {procesors: []}\n"), []);
}

#[test]
fn builder_beats_environment_beats_file_beats_default() {
    let text = processors(&[
        "usage_server: {endpoint: \"http://127.0.0.1:3/file\"}",
        "otlp_http: {endpoint: \"http://127.0.0.1:3/file\", headers: [{name: a, value: of-the-file}], \
         compression: gzip, timeout: 3}",
        "usage_file: {path: /file}",
    ]);
    let by_default = settings(&Operator::new());
    assert_eq!(by_default.exporters, [ExporterName::File]);
    assert!(by_default.otlp.is_none() && by_default.server.is_none());

    let by_file = settings(&operator(&text));
    let all = [ExporterName::File, ExporterName::Otlp, ExporterName::Server];
    assert_eq!(by_file.exporters, all);
    assert_eq!(by_file.server.as_deref(), Some("http://127.0.0.1:3/file"));
    assert_eq!(by_file.file, Some(PathBuf::from("/file")));
    let otlp = by_file.otlp.unwrap();
    assert_eq!(otlp.endpoint, "http://127.0.0.1:3/file");
    assert_eq!((otlp.headers.len(), otlp.gzip, otlp.timeout.as_millis()), (1, true, 3));

    let environment = || {
        operator(&text)
            .with("OTEL_USAGE_EXPORTERS", "server,otlp,file,console")
            .with("VLLM_USAGE_STATS_SERVER", "http://127.0.0.1:2/env")
            .with("OTEL_USAGE_FILE", "/env")
            .with("OTEL_USAGE_OTLP_TIMEOUT", "2")
            .with("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
            .with("OTEL_EXPORTER_OTLP_HEADERS", "authorization=tracing")
    };
    let by_environment = settings(&environment());
    assert_eq!(by_environment.exporters, ExporterName::ALL);
    assert_eq!(by_environment.server.as_deref(), Some("http://127.0.0.1:2/env"));
    assert_eq!(by_environment.file, Some(PathBuf::from("/env")));
    let otlp = by_environment.otlp.unwrap();
    // One setting is replaced. The generic variables belong to the operator's tracing and do not count.
    assert_eq!(otlp.endpoint, "http://127.0.0.1:3/file");
    assert_eq!((otlp.headers.len(), otlp.gzip, otlp.timeout.as_millis()), (1, true, 2));

    // Another endpoint replaces the whole block, because the file's headers are for the file's endpoint.
    let endpoint = environment().with("OTEL_USAGE_OTLP_ENDPOINT", "http://127.0.0.1:2");
    let otlp = settings(&endpoint).otlp.unwrap();
    assert_eq!(otlp.endpoint, "http://127.0.0.1:2/v1/traces");
    assert_eq!((otlp.headers.len(), otlp.gzip), (0, false));

    let by_builder = endpoint
        .engine(&vllm::CURRENT)
        .with_exporters([ExporterName::Otlp, ExporterName::Server])
        .with_server("http://127.0.0.1:1/builder")
        .with_otlp_endpoint("http://127.0.0.1:1")
        .inspect()
        .unwrap()
        .settings()
        .clone();
    assert_eq!(by_builder.exporters, [ExporterName::Otlp, ExporterName::Server]);
    assert_eq!(by_builder.server.as_deref(), Some("http://127.0.0.1:1/builder"));
    assert_eq!(by_builder.otlp.unwrap().endpoint, "http://127.0.0.1:1/v1/traces");

    // An empty URL means "the local file only", as in the original.
    let none = operator(&text).with("VLLM_USAGE_STATS_SERVER", "");
    assert_eq!(settings(&none).exporters, [ExporterName::File, ExporterName::Otlp]);
}

#[test]
fn file_and_environment_together_omit_fields() {
    let operator =
        operator(&own("    omit: [max_model_len]\n")).with("OTEL_USAGE_OMIT", "model_architecture");
    let records = operator.engine(&vllm::CURRENT).inspect().unwrap().preview(sample::vllm_report());
    let text = records[0].message().unwrap().to_json();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_ne!(json["max_model_len"], 131_072, "{text}");
    assert_ne!(json["model_architecture"], "LlamaForCausalLM", "{text}");
    assert_eq!(json["max_num_seqs"], 1024, "{text}");
}

#[test]
fn the_file_narrows_consent_and_never_widens_it() {
    for (environment, lines, consent) in [
        ("on", "    mode: on\n", Consent::Granted),
        ("on", "    mode: Local\n", Consent::Local),
        ("on", "    mode: off\n", Consent::Off),
        ("on", "    mode: ${WORD:-local}\n", Consent::Local),
        ("local", "    mode: on\n", Consent::Local),
        ("local", "    mode: off\n", Consent::Off),
        ("on", "disabled: true\n", Consent::Off),
        ("on", "disabled: false\n", Consent::Granted),
        ("on", "disabled:\n", Consent::Granted),
        // A mistake in a place that could hold an opt-out counts as an opt-out.
        ("on", "    mode: onn\n", Consent::Off),
        ("on", "    mode:\n", Consent::Off),
        ("on", "    moode: off\n", Consent::Off),
        ("on", "disabled: yes\n", Consent::Off),
        ("on", "disbled: true\n", Consent::Off),
    ] {
        let text = if lines.starts_with(' ') {
            own(lines)
        } else {
            format!("file_format: \"1.0\"\n{lines}")
        };
        let operator = operator(&text).with("OTEL_USAGE_MODE", environment);
        let decision = decision(&operator);
        assert_eq!(decision.consent, consent, "{environment} {lines}: {}", decision.because);
        let by_file = decision.because.contains("usage.yaml");
        assert_eq!(
            by_file,
            consent != Consent::Granted && environment == "on" || consent == Consent::Off
        );
    }
    // Under continuous integration messages stay on the machine with any file.
    let ci = operator(&own("    mode: on\n")).with("OTEL_USAGE_MODE", "").with("CI", "1");
    assert_ne!(decision(&ci).consent, Consent::Granted);
}

#[test]
fn the_file_is_not_opened_if_the_environment_says_off() {
    let operator = operator("[").with("DO_NOT_TRACK", "1");
    let warnings = Warnings::default();
    let builder = operator.engine(&vllm::CURRENT).on_notice(warnings.listener());
    assert!(!builder.try_init().unwrap().is_enabled());
    assert_eq!(warnings.0.lock().unwrap().as_slice(), [] as [&str; 0]);
    assert_eq!(decision(&operator).because, "environment variable DO_NOT_TRACK");
}

#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    fn listener(&self) -> impl Fn(tracing::Level, &str) + Send + Sync + 'static {
        let warnings = Arc::clone(&self.0);
        move |_, text| warnings.lock().unwrap().push(text.to_owned())
    }
}

#[test]
fn a_file_requires_tls_and_the_variable_does_not_undo_that() {
    let url = "http://stats.example";
    for (lines, variable, required) in [
        ("    require_tls: true\n", "0", true),
        ("    require_tls: false\n", "1", true),
        ("    require_tls: false\n", "0", false),
        ("    omit: []\n", "0", false),
    ] {
        let operator = operator(&own(lines)).with("OTEL_USAGE_REQUIRE_TLS", variable);
        let operator = operator.with("VLLM_USAGE_STATS_SERVER", url);
        let inspection = Usage::builder(&vllm::CURRENT).with_environment(operator.env()).inspect();
        let found = inspection.unwrap().settings().clone();
        assert_eq!(found.require_tls.is_some(), required, "{lines} {variable}");
        assert_eq!(found.exporters.contains(&ExporterName::Server), !required, "{found:?}");
    }
    let damaged = operator(&own("    require_tls: perhaps\n"));
    assert_eq!(decision(&damaged).consent, Consent::Off);
}
