//! An engine under test: the operator's environment, any record, and an exporter whose records a test
//! reads.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use otel_usage::export::{ExportRecord, Exporter, Outcome, UsageSpanExporter};
use otel_usage::schema::vllm;
use otel_usage::settings::Env;
use otel_usage::{Builder, Contract, Flush, Usage, UsageRecord};
use tempfile::TempDir;

use crate::{sample, schemas};

/// Bounds every wait of a test. A passing test never waits that long, also on a machine that is busy or stands still
/// for a while.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The environment of an engine: a temporary home and variables.
#[derive(Debug)]
pub struct Operator {
    /// Removed with this value.
    pub home: TempDir,
    variables: Vec<(String, String)>,
}

impl Operator {
    /// Makes a home. Collection is on until a variable says otherwise.
    #[expect(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let home_path = home.path().display().to_string();
        Self { home, variables: Vec::new() }.with("HOME", home_path).with("OTEL_USAGE_MODE", "on")
    }

    /// Sets a variable.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Returns the environment as an engine takes it.
    pub fn env(&self) -> Env {
        Env::given(self.variables.clone())
    }

    /// Returns the builder of an engine in this environment, marked as sample data.
    pub fn engine(&self, contract: &Contract) -> Builder {
        let builder = Usage::builder(contract).with_sample_data().with_environment(self.env());
        builder.on_notice(to_test_runner)
    }

    /// Returns the path of a file in the home.
    pub fn path(&self, below_home: &str) -> PathBuf {
        self.home.path().join(below_home)
    }
}

/// Starts a vLLM that reports to `server` alone, from a process whose home is `home`.
pub fn vllm_at(home: &Path, server: &str) -> Usage {
    let environment = Env::given([
        ("HOME", home.to_str().unwrap()),
        ("OTEL_USAGE_MODE", "on"),
        ("OTEL_USAGE_EXPORTERS", "server"),
        ("VLLM_USAGE_STATS_SERVER", server),
    ]);
    let builder = Usage::builder(&vllm::CURRENT).with_sample_data();
    builder.with_environment(environment).on_notice(|_, _| {}).try_init().unwrap()
}

/// Returns vLLM's sample report with a number in it, by which a test knows it again.
pub fn numbered(number: i64) -> vllm::Report {
    vllm::Report { block_size: Some(number), ..sample::vllm_report() }
}

/// Gives notices and warnings to the test runner, which shows them only if the test fails.
#[allow(clippy::print_stderr, reason = "a test runner captures the macro, and not the stream")]
pub fn to_test_runner<Level>(_: Level, text: &str) {
    eprintln!("otel-usage: {text}");
}

/// A record with any kind and any attributes.
#[derive(Debug)]
pub struct Given(pub String, pub Vec<KeyValue>);

impl UsageRecord for Given {
    fn kind(&self) -> &str {
        &self.0
    }

    fn attributes(self) -> Vec<KeyValue> {
        self.1
    }
}

/// An exporter that keeps every record. Clones share the records.
#[derive(Debug, Clone, Default)]
pub struct Collected(Arc<Mutex<Vec<ExportRecord>>>);

impl Exporter for Collected {
    fn name(&self) -> &str {
        "collected"
    }

    fn is_network(&self) -> bool {
        false
    }

    fn export(&mut self, record: &ExportRecord) -> Outcome {
        self.0.lock().unwrap().push(record.clone());
        Outcome::Delivered
    }
}

impl Collected {
    /// Returns the records so far, the span of the run included.
    pub fn records(&self) -> Vec<ExportRecord> {
        self.0.lock().unwrap().clone()
    }

    /// Takes the records out that arrived since the last call.
    pub fn drain(&self) -> Vec<ExportRecord> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// Parses the flat messages so far. Checks each against the JSON Schema of its message, which a
    /// contract that the test extended does not have.
    pub fn messages(&self) -> Vec<serde_json::Value> {
        let records = self.records();
        let messages = records.iter().filter_map(ExportRecord::message).map(|message| {
            let parsed = serde_json::from_str(&message.to_json()).unwrap();
            let built_in = Contract::built_in().into_iter();
            for contract in built_in.filter(|one| one.messages.contains(message.spec())) {
                schemas::check(&contract.id, message.name(), &parsed);
            }
            parsed
        });
        messages.collect()
    }
}

/// Time between two looks at whether messages wait.
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until every record so far has reached every exporter.
///
/// A message that is on disk because its server has to rest between many messages still comes.
pub fn settled(usage: &Usage) {
    let mut result = usage.flush(PATIENCE);
    for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() {
        // A loss is told once, and then the messages that wait.
        if !matches!(result, Flush::Durable | Flush::Lost(_)) {
            break;
        }
        std::thread::park_timeout(PAUSE);
        result = usage.flush(PATIENCE);
    }
    assert_eq!(result, Flush::Settled);
}

/// Runs a call on a thread of its own and fails if it does not return within [`PATIENCE`].
pub fn returns(call: impl FnOnce() + Send + 'static) {
    let (done, returned) = mpsc::channel();
    std::thread::spawn(move || {
        call();
        let _ = done.send(());
    });
    returned.recv_timeout(PATIENCE).expect("the call returns");
}

/// Waits until it is so, at most [`PATIENCE`].
pub fn until(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "it does not happen");
        std::thread::park_timeout(PAUSE);
    }
}

/// The time of a turn of [`turns`].
const TURN: Duration = Duration::from_millis(10);

/// Runs a call, and returns with its result how many turns of ten milliseconds another thread had meanwhile.
///
/// A call that waits for something leaves that thread its turns. A machine that is busy or stands still gives it none,
/// so that a test can tell how long a call waits without a look at the clock.
pub fn turns<T>(call: impl FnOnce() -> T) -> (T, u64) {
    let (count, over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let counting = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                std::thread::park_timeout(TURN);
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let result = call();
        let counted = count.load(Ordering::Relaxed);
        over.store(true, Ordering::Relaxed);
        counting.thread().unpark();
        (result, counted)
    })
}

/// Exports spans on this thread, as a stock span processor does.
pub fn export(exporter: &UsageSpanExporter, spans: Vec<SpanData>) {
    let exported = pin!(exporter.export(spans));
    assert!(exported.poll(&mut Context::from_waker(Waker::noop())).is_ready());
}
