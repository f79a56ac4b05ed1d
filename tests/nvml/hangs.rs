//! Checks that a driver that never answers loses only the accelerators, not the record.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use otel_usage::export::{ExportRecord, Exporter, Outcome};
use otel_usage::schema::Loss;
use otel_usage::schema::{lmcache, vllm};
use otel_usage::settings::Env;
use otel_usage::{Attributes, Flush, Usage};
use otel_usage_testing::receiver::Receiver;
use otel_usage_testing::{PATIENCE, returns, to_test_runner, until};

use crate::stand_in::{answer, is_played, run};

/// An exporter that keeps the accelerator attributes that OTLP would send.
#[derive(Debug, Clone, Default)]
struct Resources(Arc<Mutex<BTreeSet<String>>>);

impl Exporter for Resources {
    fn name(&self) -> &str {
        "resources"
    }

    fn is_network(&self) -> bool {
        false
    }

    fn export(&mut self, record: &ExportRecord) -> Outcome {
        let resource = record.resource();
        let all = resource.iter().map(|(key, value)| format!("{key}={value}"));
        self.0.lock().unwrap().extend(all.filter(|pair| pair.contains("accelerator")));
        Outcome::Delivered
    }
}

/// Returns the kernel ids of our threads in this process, without those of requests, which come and go.
fn ours() -> BTreeSet<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map_while(Result::ok);
    let ours = tasks.filter(|task| {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        name.starts_with("otel-usage") && name.trim() != "otel-usage-send"
    });
    ours.map(|task| task.file_name().into_string().unwrap()).collect()
}

#[test]
#[ignore = "the other process of the tests below"]
fn child() {
    if !is_played() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let server = Receiver::start();
    // A host name, so that it has to be looked up while the driver hangs.
    let url = format!("http://localhost:{}", server.address.port());
    let environment = |variable: &str| {
        Env::given([
            ("HOME".to_owned(), home.path().display().to_string()),
            ("OTEL_USAGE_MODE".to_owned(), "on".to_owned()),
            (variable.to_owned(), url.clone()),
        ])
    };
    let done = Arc::new(AtomicBool::new(false));
    let watched = Arc::clone(&done);
    let watcher = std::thread::spawn(move || {
        let mut most = 0;
        while !watched.load(Ordering::Relaxed) {
            most = most.max(ours().len());
            std::thread::park_timeout(Duration::from_millis(1));
        }
        most
    });

    let resources = Resources::default();
    let usage = Usage::builder(&vllm::CURRENT)
        .with_sample_data()
        .on_notice(to_test_runner)
        .with_environment(environment("VLLM_USAGE_STATS_SERVER"))
        .with_exporter(resources.clone())
        .try_init()
        .unwrap();
    usage.record(Attributes::new(vllm::REPORT));
    let message: serde_json::Value = serde_json::from_slice(&server.next().body).unwrap();
    for field in ["gpu_count", "gpu_type", "gpu_memory_per_device"] {
        assert_eq!(message.get(field), Some(&serde_json::Value::Null), "{field}");
    }
    assert!(message.get("num_cpu").unwrap().as_i64().unwrap() > 0, "the rest is there");
    assert_eq!(usage.flush(PATIENCE), Flush::Settled);
    assert_eq!(usage.stats().lost.get(&Loss::Probe), Some(&1));
    let said: Vec<String> = resources.0.lock().unwrap().iter().cloned().collect();
    assert_eq!(said, ["otel_usage.probe.accelerator=timeout"]);
    done.store(true, Ordering::Relaxed);
    let most = watcher.join().unwrap();
    assert!(
        (2..=3).contains(&most),
        "{most}: the worker, the thread that hangs, and for a moment that of a request without its name"
    );

    // A second engine in the process does not ask the driver again and leaves no second thread waiting.
    let before = ours();
    let new = || ours().difference(&before).count();
    let second = Usage::builder(&lmcache::V1)
        .with_sample_data()
        .on_notice(to_test_runner)
        .with_environment(environment("LMCACHE_USAGE_TRACK_URL"))
        .try_init()
        .unwrap();
    second.record(Attributes::new("lmcache.engine"));
    let message: serde_json::Value = serde_json::from_slice(&server.next().body).unwrap();
    // LMCache has no null, and its values for a machine without accelerators would be wrong as well.
    assert_eq!(message.get("gpu_type").unwrap(), "");
    assert_eq!(message.get("gpu_count").unwrap(), 0);
    assert_eq!(message.get("gpu_memory_per_device").unwrap(), 0);
    assert_eq!(second.flush(PATIENCE), Flush::Settled);
    assert_eq!(second.stats().lost.get(&Loss::Probe), Some(&1));
    // Its worker.
    until(|| new() == 1);

    returns(move || drop((usage, second)));
    answer("the end");
}

fn check(play: &str) {
    if let Some(played) = run("hangs::child", Some(&[]), play, &[]) {
        assert_eq!(played.answers, ["the end"]);
        assert_eq!(played.initialised, 1, "the driver was asked again");
    }
}

#[test]
fn a_driver_that_hangs_at_its_start_loses_only_the_accelerators() {
    check("hang_init");
}

#[test]
fn a_driver_that_hangs_later_loses_only_the_accelerators() {
    check("hang_memory");
}
