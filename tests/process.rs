//! Checks that no value, limit or thread stack of the engine's process makes the library harm it.
//!
//! Each test starts this program again with that test alone, because limits and memory belong to a whole
//! process.

#![cfg(target_os = "linux")]
#![allow(
    unsafe_code,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking; it starts processes and sets their limits"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use opentelemetry::{Array, KeyValue, Value};
use otel_usage::Usage;
use otel_usage::export::{ExportRecord, Exporter, Outcome};
use otel_usage::schema::{Loss, lmcache, vllm};
use otel_usage_testing::{Given, Operator, PATIENCE, settled};

/// The variable that tells a process that it is the child of a test.
const CHILD: &str = "OTEL_USAGE_TEST_CHILD";

const MIB: usize = 1024 * 1024;

/// A stack on which an engine may call the library. Measured in a debug build: 32 KiB are too few.
const SMALL_STACK: usize = 64 * 1024;

/// Runs `work` in a process of its own, which `prepare` may change before it starts.
fn in_child(test: &str, prepare: impl FnOnce(&mut Command), work: impl FnOnce() + Send + 'static) {
    if std::env::var_os(CHILD).is_some() {
        // The stack does not depend on the environment of the test.
        std::thread::Builder::new().stack_size(8 * MIB).spawn(work).unwrap().join().unwrap();
        return;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--test-threads=1"]).env(CHILD, "1");
    prepare(&mut command);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{}: {text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Counts the bytes that this process holds.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns by how many MiB the memory of this process grows while `work` runs.
fn grows(work: impl FnOnce()) -> usize {
    let before = HELD.load(Ordering::Relaxed);
    work();
    HELD.load(Ordering::Relaxed).saturating_sub(before) / MIB
}

/// An exporter that waits before its first record until the test lets it go.
#[derive(Debug)]
struct Stuck(Option<mpsc::Receiver<()>>);

impl Exporter for Stuck {
    fn name(&self) -> &str {
        "stuck"
    }

    fn is_network(&self) -> bool {
        false
    }

    fn export(&mut self, _: &ExportRecord) -> Outcome {
        if let Some(released) = self.0.take() {
            let _ = released.recv();
        }
        Outcome::Delivered
    }
}

/// Returns an engine whose worker is stuck until the sender is used.
fn stuck(operator: &Operator) -> (Usage, mpsc::Sender<()>) {
    let (release, released) = mpsc::channel();
    let usage = operator
        .engine(&lmcache::V1)
        .with_exporters([])
        .with_exporter(Stuck(Some(released)))
        .try_init()
        .unwrap();
    usage.record(lmcache::Engine::default());
    (usage, release)
}

/// Attributes that take much memory, each of another kind.
fn heavy() -> Vec<Vec<KeyValue>> {
    let text = || "x".repeat(4 * MIB);
    vec![
        vec![KeyValue::new(text(), true)],
        vec![KeyValue::new("a", text())],
        vec![KeyValue::new("a", Value::from(Arc::<str>::from(text())))],
        vec![KeyValue::new("a", Value::Array(Array::F64(vec![0.5; MIB / 2])))],
        vec![KeyValue::new("a", Value::Array(Array::I64(vec![1; MIB / 2])))],
        vec![KeyValue::new("a", Value::Array(Array::Bool(vec![true; 4 * MIB])))],
        vec![KeyValue::new("a", Value::Array(Array::String(vec!["x".into(); MIB / 8])))],
        vec![KeyValue::new("a", Value::Array(Array::String(vec![text().into()])))],
        vec![KeyValue::new("a", 1); MIB / 16],
    ]
}

#[test]
fn heavy_records_and_series_do_not_fill_the_memory() {
    let test = "heavy_records_and_series_do_not_fill_the_memory";
    in_child(
        test,
        |_| (),
        || {
            let operator = Operator::new();
            let (usage, release) = stuck(&operator);
            let records = grows(|| {
                for attributes in (0..12).flat_map(|_| heavy()) {
                    usage.record(Given("lmcache.engine".to_owned(), attributes));
                }
                usage.record(Given("x".repeat(16 * MIB), Vec::new()));
            });
            let mut kept = Vec::new();
            let series = grows(|| {
                for number in 0..16 {
                    let name = format!("{number}{}", "x".repeat(4 * MIB));
                    kept.push(usage.series(lmcache::usage::L2_ADAPTER, &name));
                }
            });
            assert!(records < 4 && series < 4, "{records} MiB, {series} MiB");
            drop(release);
            settled(&usage);
        },
    );
}

#[test]
fn a_heavy_heartbeat_does_not_fill_the_memory() {
    let test = "a_heavy_heartbeat_does_not_fill_the_memory";
    in_child(
        test,
        |_| (),
        || {
            let operator = Operator::new();
            let (usage, release) = stuck(&operator);
            for values in heavy() {
                let grown = grows(|| usage.set_heartbeat(Given(String::new(), values)));
                assert!(grown < 2, "{grown} MiB");
            }
            // Each value is short enough, and all together are too long.
            let words = Value::Array(Array::String(vec!["x".repeat(4096).into(); 64]));
            let grown = grows(|| {
                let values = (0..64).map(|_| KeyValue::new("a", words.clone())).collect();
                usage.set_heartbeat(Given(String::new(), values));
            });
            assert!(grown < 2, "{grown} MiB");
            assert_eq!(usage.stats().lost[&Loss::QueueFull], 1);
            drop(release);
            settled(&usage);
        },
    );
}

#[test]
fn threads_of_ours_have_stacks_of_their_own_size() {
    let test = "threads_of_ours_have_stacks_of_their_own_size";
    in_child(
        test,
        |command| {
            command.env("RUST_MIN_STACK", "65536");
        },
        || {
            let operator = Operator::new()
                .with("OTEL_USAGE_EXPORTERS", "server,otlp,file,console")
                .with("VLLM_USAGE_STATS_SERVER", "http://localhost:9")
                .with("OTEL_USAGE_OTLP_ENDPOINT", "https://localhost:9");
            // The detectors read this machine, on the thread of their own.
            let usage = operator.engine(&vllm::CURRENT).try_init().unwrap();
            usage.record(vllm::Report::default());
            let _ = usage.flush(PATIENCE);
            assert_eq!(usage.stats().recorded, 1);
            assert_eq!(usage.stats().lost.get(&Loss::Panicked), None);
            assert_eq!(usage.stats().lost.get(&Loss::Probe), None);
        },
    );
}

/// Runs `work` in a process that may write files of 512 bytes and in which every signal kills.
fn with_small_files(test: &str, work: impl FnOnce() + Send + 'static) {
    in_child(
        test,
        |_| (),
        || {
            let limit = libc::rlimit { rlim_cur: 512, rlim_max: 512 };
            // SAFETY: a pointer to a live value; the test program never writes such files itself.
            unsafe {
                assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
                libc::signal(libc::SIGXFSZ, libc::SIG_DFL);
                libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            }
            work();
        },
    );
}

#[test]
fn a_file_past_the_limit_of_the_process_is_one_warning() {
    with_small_files("a_file_past_the_limit_of_the_process_is_one_warning", || {
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let listener = Arc::clone(&warnings);
        let operator = Operator::new().with("OTEL_USAGE_EXPORTERS", "file");
        let usage = operator
            .engine(&vllm::CURRENT)
            .on_notice(move |_, text| listener.lock().unwrap().push(text.to_owned()))
            .try_init()
            .unwrap();
        for _ in 0..3 {
            usage.record(vllm::Report::default());
            settled(&usage);
        }
        let warnings = warnings.lock().unwrap();
        assert!(warnings.len() == 1 && warnings[0].contains("OTEL_USAGE_FILE"), "{warnings:?}");
        assert_eq!(usage.stats().exporters[0].dropped[&Loss::Io], 3);
    });
}

#[test]
fn a_stock_exporter_past_the_limit_leaves_no_signal_to_its_caller() {
    let test = "a_stock_exporter_past_the_limit_leaves_no_signal_to_its_caller";
    with_small_files(test, || {
        let operator = Operator::new().with("OTEL_USAGE_EXPORTERS", "file");
        let span =
            operator.engine(&vllm::CURRENT).init().preview(vllm::Report::default())[0].span();
        let exporter = operator.engine(&vllm::CURRENT).span_exporter().unwrap();
        for _ in 0..3 {
            otel_usage_testing::export(&exporter, vec![span.clone()]);
        }
        assert_eq!(exporter.stats().exporters[0].dropped[&Loss::Io], 3);
    });
}

#[test]
fn a_warning_to_a_closed_standard_error_does_no_harm() {
    let test = "a_warning_to_a_closed_standard_error_does_no_harm";
    in_child(
        test,
        |_| (),
        || {
            let mut ends = [0; 2];
            // SAFETY: a pointer to live integers; standard error is this process's own.
            unsafe {
                assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
                libc::dup2(ends[1], 2);
                libc::close(ends[0]);
                libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            }
            let operator = Operator::new().with("OTEL_USAGE_EXPORTERS", "kafka");
            let _ = operator.engine(&vllm::CURRENT).init();
        },
    );
}

#[test]
fn init_and_record_run_on_a_small_stack() {
    in_child(
        "init_and_record_run_on_a_small_stack",
        |_| (),
        || {
            let operator = Operator::new().with("OTEL_USAGE_EXPORTERS", "file");
            let builder = operator.engine(&vllm::CURRENT);
            let thread = std::thread::Builder::new().stack_size(SMALL_STACK);
            thread
                .spawn(move || {
                    let usage = builder.try_init().unwrap();
                    usage.record(vllm::Report::default());
                    let _ = usage.counter("a");
                    settled(&usage);
                })
                .unwrap()
                .join()
                .unwrap();
        },
    );
}
