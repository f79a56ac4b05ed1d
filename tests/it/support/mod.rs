//! What the tests share: a temporary home as an operator's environment, OTLP both ways, random worlds and an
//! independent reader of what leaves them.

pub(crate) mod decode;
pub(crate) mod otlp;
pub(crate) mod schemas;
pub(crate) mod unflatten;
pub(crate) mod world;

use std::path::PathBuf;

use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use otel_usage::{Builder, Contract, Env, Usage};
use tempfile::TempDir;

/// An operator: a temporary home and the variables of a shell.
pub(crate) struct Operator {
    pub(crate) home: TempDir,
    variables: Vec<(String, String)>,
}

impl Operator {
    /// Collection is on; tests set the mode they test.
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let variables = vec![
            ("HOME".to_owned(), home.path().display().to_string()),
            ("OTEL_USAGE_MODE".to_owned(), "on".to_owned()),
        ];
        Self { home, variables }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn env(&self) -> Env {
        Env::given(self.variables.clone())
    }

    /// An engine under this operator, with made-up data.
    pub(crate) fn engine(&self, contract: &Contract) -> Builder {
        Usage::builder(contract).with_sample_data().with_environment(self.env())
    }

    pub(crate) fn path(&self, below_home: &str) -> PathBuf {
        self.home.path().join(below_home)
    }
}

/// The keys of one flat JSON object, in the order of the text.
pub(crate) fn keys(json: &str) -> Vec<String> {
    struct Keys;
    impl<'de> serde::de::Visitor<'de> for Keys {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut map: A,
        ) -> Result<Vec<String>, A::Error> {
            let mut keys = Vec::new();
            while let Some((key, serde::de::IgnoredAny)) = map.next_entry()? {
                keys.push(key);
            }
            Ok(keys)
        }
    }
    serde::Deserializer::deserialize_map(&mut serde_json::Deserializer::from_str(json), Keys)
        .unwrap()
}

/// The text of a golden payload on one line, as Python's `json.dumps` writes it: same keys, order,
/// types and values.
pub(crate) fn python_form(json: &str) -> String {
    let mut out = Vec::new();
    serde_transcode::transcode(
        &mut serde_json::Deserializer::from_str(json),
        &mut serde_json::Serializer::with_formatter(&mut out, otel_usage::PythonFormatter),
    )
    .unwrap();
    String::from_utf8(out).unwrap()
}

/// A sink that keeps what it is given: the flat message and the span of each report.
#[derive(Debug, Clone, Default)]
pub(crate) struct Collected(std::sync::Arc<std::sync::Mutex<Vec<otel_usage::Report>>>);

impl otel_usage::Sink for Collected {
    fn name(&self) -> &str {
        "collected"
    }

    fn is_network(&self) -> bool {
        false
    }

    fn take(&mut self, report: &otel_usage::Report) -> otel_usage::Outcome {
        self.0.lock().unwrap().push(report.clone());
        otel_usage::Outcome::Delivered
    }
}

impl Collected {
    /// The reports so far, the span of the run included.
    pub(crate) fn reports(&self) -> Vec<otel_usage::Report> {
        self.0.lock().unwrap().clone()
    }

    /// The reports since the last time.
    pub(crate) fn drain(&self) -> Vec<otel_usage::Report> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// The flat messages so far, parsed.
    pub(crate) fn messages(&self) -> Vec<serde_json::Value> {
        self.reports()
            .iter()
            .filter_map(|report| {
                let message = report.message()?;
                let parsed = serde_json::from_str(&message.to_json()).unwrap();
                // A contract that the test extended has no schema.
                let built_in = Contract::built_in().into_iter();
                for contract in built_in.filter(|one| one.messages.contains(message.spec())) {
                    schemas::check(&contract.id, message.name(), &parsed);
                }
                Some(parsed)
            })
            .collect()
    }
}

/// Long enough for everything on a slow machine; a test that needs it has failed.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// Exports spans as a stock processor does, on this thread.
pub(crate) fn export(exporter: &otel_usage::UsageExporter, spans: Vec<SpanData>) {
    let exported = std::pin::pin!(exporter.export(spans));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(exported.poll(&mut context).is_ready());
}

/// A record of any kind with any attributes.
#[derive(Debug)]
pub(crate) struct Given(pub(crate) String, pub(crate) Vec<opentelemetry::KeyValue>);

impl otel_usage::UsageRecord for Given {
    fn kind(&self) -> &str {
        &self.0
    }

    fn attributes(self) -> Vec<opentelemetry::KeyValue> {
        self.1
    }
}

/// How many cases a property tries: `standard`, or more where `cargo xtask torture` asks for them.
pub(crate) fn cases(standard: u32) -> u32 {
    let asked = std::env::var("OTEL_USAGE_TEST_CASES").ok();
    asked.map_or(standard, |cases| cases.parse().expect("OTEL_USAGE_TEST_CASES is a number"))
}

/// Everything recorded so far has reached every sink.
pub(crate) fn settled(usage: &Usage) {
    assert_eq!(usage.flush(PATIENCE), otel_usage::Flush::Durable);
}
