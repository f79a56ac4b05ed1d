//! Whatever is wrong around it, the engine sees no panic, no block and no error it did not ask for;
//! the operator sees one warning that names the thing and its remedy.

use std::sync::{Arc, Mutex};

use otel_usage::schema::{Field, Type, lmcache, vllm};
use otel_usage::{Attributes, Consent, Exporter, Flush, Loss, Outcome, Report, Sink, Usage};

use crate::receiver::Receiver;
use crate::sample;
use crate::support::{Collected, Operator, PATIENCE, settled};

/// Warnings as the host's callback gets them.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    fn listener(&self) -> impl Fn(tracing::Level, &str) + Send + Sync + 'static {
        let warnings = Arc::clone(&self.0);
        move |level, text| {
            if level == tracing::Level::WARN {
                warnings.lock().unwrap().push(text.to_owned());
            }
        }
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Runs a vLLM engine with one mistake in its environment; returns its warnings.
fn with_mistake(variables: &[(&str, &str)]) -> Vec<String> {
    let mut operator = Operator::new();
    for (name, value) in variables {
        operator = operator.with(name, *value);
    }
    let warnings = Warnings::default();
    let usage = operator
        .engine(&vllm::CURRENT)
        .with_messages(warnings.listener())
        .init()
        .expect("a mistake in the environment is no error");
    usage.start(sample::vllm_report());
    assert_eq!(usage.flush(PATIENCE), Flush::Durable);
    usage.start(sample::vllm_report());
    assert_eq!(usage.flush(PATIENCE), Flush::Durable);
    drop(usage);
    warnings.all()
}

#[test]
fn each_mistake_in_the_environment_is_one_warning_with_its_name_and_remedy() {
    for (variables, name, remedy) in [
        (&[("OTEL_USAGE_EXPORTERS", "file,kafka")][..], "OTEL_USAGE_EXPORTERS", "use server"),
        (&[("VLLM_USAGE_STATS_SERVER", "stats.vllm.ai")], "VLLM_USAGE_STATS_SERVER", "http://host"),
        (&[("VLLM_USAGE_STATS_SERVER", "http://[::1")], "VLLM_USAGE_STATS_SERVER", "http://host"),
        // The data is made up here, and no example may reach a real server.
        (
            &[("VLLM_USAGE_STATS_SERVER", "https://stats.vllm.ai")],
            "VLLM_USAGE_STATS_SERVER",
            "127.0.0.1",
        ),
        (&[("OTEL_USAGE_EXPORTERS", "otlp")], "OTEL_USAGE_EXPORTERS", "OTEL_USAGE_OTLP_ENDPOINT"),
        (
            &[("OTEL_USAGE_EXPORTERS", "otlp"), ("OTEL_USAGE_OTLP_ENDPOINT", "collector")],
            "OTEL_USAGE_OTLP_ENDPOINT",
            "http://host:4318",
        ),
        (
            &[
                ("OTEL_USAGE_EXPORTERS", "otlp"),
                ("OTEL_USAGE_OTLP_ENDPOINT", "http://127.0.0.1:9"),
                ("OTEL_USAGE_OTLP_CERTIFICATE", "/nowhere.pem"),
            ],
            "OTEL_USAGE_OTLP_CERTIFICATE",
            "/nowhere.pem",
        ),
        // A file where a directory should be; a device that is no file.
        (
            &[("OTEL_USAGE_FILE", "/etc/passwd/usage.json")],
            "/etc/passwd/usage.json",
            "OTEL_USAGE_FILE",
        ),
        (&[("OTEL_USAGE_FILE", "/dev/full")], "/dev/full", "OTEL_USAGE_FILE"),
    ] {
        let warnings = with_mistake(variables);
        assert_eq!(warnings.len(), 1, "{variables:?}: {warnings:?}");
        assert!(warnings[0].contains(name) && warnings[0].contains(remedy), "{}", warnings[0]);
    }
}

#[test]
fn a_secret_in_a_bad_value_is_not_shown() {
    let warnings = with_mistake(&[("VLLM_USAGE_STATS_SERVER", "user:hunter2@host")]);
    assert!(!warnings[0].contains("hunter2"));
    let warnings = with_mistake(&[
        ("OTEL_USAGE_EXPORTERS", "otlp"),
        ("OTEL_USAGE_OTLP_ENDPOINT", "http://127.0.0.1:9"),
        ("OTEL_USAGE_OTLP_HEADERS", "hunter2"),
    ]);
    assert!(warnings[0].contains("OTEL_USAGE_OTLP_HEADERS") && !warnings[0].contains("hunter2"));
}

#[test]
fn a_home_that_cannot_be_written_costs_the_file_only() {
    let server = Receiver::start();
    // A file where the home directory should be: what any user sees when it is read-only.
    let operator = Operator::new();
    std::fs::write(operator.path("home"), "").unwrap();
    let operator = {
        let home = operator.path("home").display().to_string();
        operator.with("HOME", home).with("VLLM_USAGE_STATS_SERVER", server.url())
    };
    let warnings = Warnings::default();
    let usage = operator.engine(&vllm::CURRENT).with_messages(warnings.listener()).init().unwrap();
    usage.start(sample::vllm_report());
    let _ = server.next();
    settled(&usage);
    assert_eq!(warnings.all().len(), 1, "{:?}", warnings.all());
    let stats = usage.stats();
    let file = stats.sinks.iter().find(|sink| sink.name == "file").unwrap();
    assert_eq!(file.dropped[&Loss::Io], 1);
}

#[test]
fn a_server_that_refuses_costs_nothing_but_the_message() {
    // Nobody listens there: the port was just given back.
    let url = Receiver::start().url().replace("127.0.0.1", "127.0.0.2");
    let operator = Operator::new().with("VLLM_USAGE_STATS_SERVER", url);
    let usage = operator.engine(&vllm::CURRENT).init().unwrap();
    usage.start(sample::vllm_report());
    assert_eq!(usage.flush(std::time::Duration::from_millis(300)), Flush::Memory(1));
}

#[test]
fn values_that_do_not_fit_take_the_fields_null_rule_and_are_counted() {
    let operator = Operator::new();
    let collected = Collected::default();
    let usage = operator
        .engine(&vllm::CURRENT)
        .with_exporters([])
        .with_sink(collected.clone())
        .init()
        .unwrap();
    usage.start(
        Attributes::of("vllm.report")
            .with("vllm.cache.gpu_memory_utilization", f64::NAN)
            .with("vllm.cache.block_size", "sixteen")
            .with("vllm.parallel.tensor", 2.5)
            .with("vllm.feature.lora", 1)
            .with("vllm.model.dtype", vec![1_i64])
            .with("vllm.model.max_len", u64::MAX)
            .with("vllm.model.quantization", "x".repeat(1024 * 1024))
            .with("vllm.usage.context", "ä".repeat(3_000)),
    );
    settled(&usage);
    let report = &collected.messages()[0];
    assert_eq!(report["gpu_memory_utilization"], serde_json::Value::Null);
    assert_eq!(report["block_size"], serde_json::Value::Null);
    assert_eq!(report["tensor_parallel_size"], 1);
    assert_eq!(report["enable_lora"], false);
    assert_eq!(report["dtype"], "");
    assert_eq!(report["max_model_len"], serde_json::Value::Null);
    assert_eq!(report["quantization"].as_str().unwrap().len(), 256);
    assert_eq!(report["context"].as_str().unwrap(), "ä".repeat(256));
    let lost = usage.stats().lost;
    assert_eq!(lost[&Loss::NotFinite], 1);
    assert_eq!(lost[&Loss::WrongType], 4);
}

/// A sink that panics the first time.
#[derive(Debug)]
struct Panics(bool);

impl Sink for Panics {
    fn name(&self) -> &str {
        "panics"
    }

    fn is_network(&self) -> bool {
        false
    }

    fn take(&mut self, _: &Report) -> Outcome {
        assert!(std::mem::replace(&mut self.0, false), "sink failure played by the test");
        Outcome::Delivered
    }
}

#[test]
fn a_panic_in_a_sink_stays_in_that_sink() {
    let operator = Operator::new();
    let collected = Collected::default();
    let usage = operator
        .engine(&vllm::CURRENT)
        .with_exporters([])
        .with_sink(Panics(true))
        .with_sink(collected.clone())
        .init()
        .unwrap();
    for _ in 0..3 {
        usage.start(sample::vllm_report());
    }
    settled(&usage);
    assert_eq!(collected.messages().len(), 3);
    let panics = &usage.stats().sinks[0];
    assert_eq!((panics.delivered, panics.dropped[&Loss::Panicked]), (1, 2));
}

#[test]
fn only_a_programmers_mistake_is_an_error() {
    let operator = Operator::new();
    let error = operator.engine(&vllm::CURRENT).with_server("stats.vllm.ai").init().unwrap_err();
    assert!(error.to_string().contains("option `server`"), "{error}");
    let error =
        operator.engine(&vllm::CURRENT).with_server("https://stats.vllm.ai").init().unwrap_err();
    assert!(error.to_string().contains("made-up data"), "{error}");

    let field = || Field::record("x", Type::Int, "x", "X.");
    let twice =
        vllm::CURRENT.clone().with_field("heartbeat", field()).with_field("heartbeat", field());
    let error = operator.engine(&twice).init().unwrap_err();
    assert!(error.is_contract() && error.to_string().contains("`x` is declared twice"), "{error}");
    let nowhere = vllm::CURRENT.clone().with_field("heart_beat", field());
    let error = operator.engine(&nowhere).init().unwrap_err();
    assert!(error.to_string().contains("heart_beat"), "{error}");
    // `Usage::init` cannot fail: it is off, and says why.
    let mut contract = nowhere;
    contract.server = None;
    contract.switches.to_mut().clear();
    let usage = Usage::builder(&contract)
        .with_environment(operator.env())
        .with_consent(Consent::Off)
        .init()
        .unwrap();
    assert!(!usage.is_enabled());
}

#[test]
fn try_init_is_none_when_collection_is_off() {
    for (contract, name, value) in [
        (&vllm::CURRENT, "VLLM_NO_USAGE_STATS", "1"),
        (&lmcache::V1, "LMCACHE_TRACK_USAGE", "false"),
    ] {
        let operator = Operator::new().with(name, value);
        assert!(operator.engine(contract).try_init().unwrap().is_none());
    }
    let operator = Operator::new();
    let usage =
        operator.engine(&vllm::CURRENT).with_exporters([Exporter::File]).try_init().unwrap();
    assert!(usage.is_some());
}
