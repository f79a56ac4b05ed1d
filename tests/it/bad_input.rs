//! Checks that wrong settings, values and exporters cause no panic, no delay and no error in the
//! engine.
//!
//! The operator gets one warning that names the mistake and its remedy.

use std::sync::{Arc, Mutex};

use otel_usage::export::{ExportRecord, Exporter, ExporterName, Outcome};
use otel_usage::schema::Loss;
use otel_usage::schema::{Field, Type, lmcache, vllm};
use otel_usage::{Attributes, Consent, Flush, Usage};
use otel_usage_testing::sample;
use otel_usage_testing::{Collected, Operator, PATIENCE, returns, settled};

use crate::receiver::Receiver;

/// Warnings that the host's callback received.
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

/// Runs a vLLM engine with one mistake in its environment and returns its warnings.
fn with_mistake(variables: &[(&str, &str)]) -> Vec<String> {
    let mut operator = Operator::new();
    for (name, value) in variables {
        operator = operator.with(name, *value);
    }
    let warnings = Warnings::default();
    let usage = operator
        .engine(&vllm::CURRENT)
        .on_notice(warnings.listener())
        .try_init()
        .expect("a mistake in the environment is no error");
    usage.record(sample::vllm_report());
    settled(&usage);
    usage.record(sample::vllm_report());
    settled(&usage);
    drop(usage);
    warnings.all()
}

#[test]
fn each_mistake_in_the_environment_gives_one_warning_with_name_and_remedy() {
    for (variables, name, remedy) in [
        (&[("OTEL_USAGE_EXPORTERS", "file,kafka")][..], "OTEL_USAGE_EXPORTERS", "use server"),
        (&[("VLLM_USAGE_STATS_SERVER", "stats.vllm.ai")], "VLLM_USAGE_STATS_SERVER", "http://host"),
        (&[("VLLM_USAGE_STATS_SERVER", "http://[::1")], "VLLM_USAGE_STATS_SERVER", "http://host"),
        // Made-up data must not reach a real server.
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
        // A file in the place of a directory, and a device in the place of a file.
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

/// Something that is no file, in the place of a file that an operator names.
#[cfg(unix)]
fn no_files(operator: &Operator) -> Vec<String> {
    let pipe = operator.path("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    // A device that can be read without end comes last.
    [pipe, operator.path(""), operator.path("missing"), "/dev/null".into(), "/dev/zero".into()]
        .map(|path| path.display().to_string())
        .to_vec()
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_one_warning_in_the_place_of_a_certificate_and_of_a_configuration() {
    let folder = Operator::new();
    for path in no_files(&folder) {
        returns(move || {
            let warnings = with_mistake(&[
                ("OTEL_USAGE_EXPORTERS", "otlp,file"),
                ("OTEL_USAGE_OTLP_ENDPOINT", "http://127.0.0.1:9"),
                ("OTEL_USAGE_OTLP_CERTIFICATE", &path),
            ]);
            assert_eq!(warnings.len(), 1, "{path}: {warnings:?}");
            let named = warnings[0].contains("OTEL_USAGE_OTLP_CERTIFICATE");
            assert!(named && warnings[0].contains(&path), "{}", warnings[0]);

            let warnings = with_mistake(&[("OTEL_USAGE_CONFIG", &path)]);
            assert_eq!(warnings.len(), 1, "{path}: {warnings:?}");
            assert!(warnings[0].contains(&path), "{}", warnings[0]);
        });
    }
}

#[test]
fn a_certificate_file_that_is_too_long_is_not_read_whole() {
    let folder = Operator::new();
    let path = folder.path("long.pem");
    std::fs::File::create(&path).unwrap().set_len(5 * 1024 * 1024).unwrap();
    returns(move || {
        let warnings = with_mistake(&[
            ("OTEL_USAGE_EXPORTERS", "otlp,file"),
            ("OTEL_USAGE_OTLP_ENDPOINT", "http://127.0.0.1:9"),
            ("OTEL_USAGE_OTLP_CERTIFICATE", path.to_str().unwrap()),
        ]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("longer than"), "{}", warnings[0]);
    });
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
fn a_read_only_home_loses_only_the_local_file() {
    let server = Receiver::start();
    // A file in the place of the home directory fails like a read-only home, also for root.
    let operator = Operator::new();
    std::fs::write(operator.path("home"), "").unwrap();
    let operator = {
        let home = operator.path("home").display().to_string();
        operator.with("HOME", home).with("VLLM_USAGE_STATS_SERVER", server.url())
    };
    let warnings = Warnings::default();
    let usage = operator.engine(&vllm::CURRENT).on_notice(warnings.listener()).try_init().unwrap();
    usage.record(sample::vllm_report());
    let _ = server.next();
    settled(&usage);
    assert_eq!(warnings.all().len(), 1, "{:?}", warnings.all());
    let stats = usage.stats();
    let file = stats.exporters.iter().find(|exporter| exporter.name == "file").unwrap();
    assert_eq!(file.dropped[&Loss::Io], 1);
}

#[test]
fn a_message_waits_while_the_server_refuses_connections() {
    // No server listens there, because the port was just released.
    let url = Receiver::start().url().replace("127.0.0.1", "127.0.0.2");
    let operator =
        Operator::new().with("VLLM_USAGE_STATS_SERVER", url).with("OTEL_USAGE_SPOOL_DIR", "none");
    let usage = operator.engine(&vllm::CURRENT).try_init().unwrap();
    usage.record(sample::vllm_report());
    assert_eq!(usage.flush(std::time::Duration::from_millis(300)), Flush::Memory(1));
}

#[test]
fn values_of_the_wrong_type_become_null_and_are_counted() {
    let operator = Operator::new();
    let collected = Collected::default();
    let usage = operator
        .engine(&vllm::CURRENT)
        .with_exporters([])
        .with_exporter(collected.clone())
        .try_init()
        .unwrap();
    usage.record(
        Attributes::new("vllm.report")
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
    // The number beyond 64 bits is among them.
    assert_eq!(lost[&Loss::WrongType], 5);
}

/// An exporter that panics the first time.
#[derive(Debug)]
struct Panics(bool);

impl Exporter for Panics {
    fn name(&self) -> &str {
        "panics"
    }

    fn is_network(&self) -> bool {
        false
    }

    fn export(&mut self, _: &ExportRecord) -> Outcome {
        assert!(std::mem::replace(&mut self.0, false), "exporter failure played by the test");
        Outcome::Delivered
    }
}

#[test]
fn a_panic_in_an_exporter_affects_only_that_exporter() {
    let operator = Operator::new();
    let collected = Collected::default();
    let usage = operator
        .engine(&vllm::CURRENT)
        .with_exporters([])
        .with_exporter(Panics(true))
        .with_exporter(collected.clone())
        .try_init()
        .unwrap();
    for _ in 0..3 {
        usage.record(sample::vllm_report());
    }
    settled(&usage);
    assert_eq!(collected.messages().len(), 3);
    let panics = &usage.stats().exporters[0];
    assert_eq!((panics.delivered, panics.dropped[&Loss::Panicked]), (1, 2));
}

#[test]
fn init_fails_only_for_a_mistake_in_the_code() {
    let operator = Operator::new();
    let error =
        operator.engine(&vllm::CURRENT).with_server("stats.vllm.ai").try_init().unwrap_err();
    assert!(error.to_string().contains("option `server`"), "{error}");
    let error = operator
        .engine(&vllm::CURRENT)
        .with_server("https://stats.vllm.ai")
        .try_init()
        .unwrap_err();
    assert!(error.to_string().contains("made-up data"), "{error}");

    let field = || Field::record("x", Type::Int, "x", "X.");
    let twice =
        vllm::CURRENT.clone().with_field("heartbeat", field()).with_field("heartbeat", field());
    let error = operator.engine(&twice).try_init().unwrap_err();
    assert!(error.is_contract() && error.to_string().contains("`x` is declared twice"), "{error}");
    let nowhere = vllm::CURRENT.clone().with_field("heart_beat", field());
    let error = operator.engine(&nowhere).try_init().unwrap_err();
    assert!(error.to_string().contains("heart_beat"), "{error}");
}

#[test]
fn a_contract_that_contradicts_itself_is_one_warning_and_an_engine_that_is_off() {
    let twice = Field::record("dtype", Type::Str, "my.dtype", "Declared by the contract already.");
    let contract = vllm::CURRENT.clone().with_field("report", twice);
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&told);
    let operator = Operator::new();
    let builder = operator.engine(&contract);
    let usage =
        builder.on_notice(move |_, text| hears.lock().unwrap().push(text.to_owned())).init();
    assert!(!usage.is_enabled());
    assert_eq!(usage.decision().consent, Consent::Off);
    let told = told.lock().unwrap().clone();
    assert!(told.len() == 1 && told[0].contains("dtype"), "{told:?}");
    usage.record(vllm::Report::default());
    assert_eq!(usage.flush(PATIENCE), Flush::Settled);
}

#[test]
fn filter_is_enabled_gives_none_if_collection_is_off() {
    for (contract, name, value) in [
        (&vllm::CURRENT, "VLLM_NO_USAGE_STATS", "1"),
        (&lmcache::V1, "LMCACHE_TRACK_USAGE", "false"),
    ] {
        let operator = Operator::new().with(name, value);
        let usage = operator.engine(contract).init();
        assert!(Some(usage).filter(Usage::is_enabled).is_none());
    }
    let operator = Operator::new();
    let usage = operator.engine(&vllm::CURRENT).with_exporters([ExporterName::File]).init();
    assert!(Some(usage).filter(Usage::is_enabled).is_some());
}
