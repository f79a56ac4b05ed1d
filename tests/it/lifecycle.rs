//! Checks the life of a run: heartbeats, an end that does not wait, and records after the end.

use std::sync::mpsc;

use otel_usage::export::{ExportRecord, Exporter, Outcome};
use otel_usage::schema::Loss;
use otel_usage::schema::{Contract, Field, Trigger, Type, lmcache, vllm};
use otel_usage::{Attributes, Usage};
use otel_usage_testing::json::keys;
use otel_usage_testing::sample;
use otel_usage_testing::{Collected, Operator, returns, settled, turns};

use crate::exporters::exporter;
use crate::receiver::{Answer, Receiver};

/// Returns vLLM's contract with a heartbeat each second and one more key.
fn quick_beats() -> Contract {
    let field = Field::record("num_preemptions", Type::Int, "vllm.num_preemptions", "Preemptions.");
    let mut contract = vllm::CURRENT.clone().with_field("heartbeat", field);
    for spec in contract.messages.to_mut() {
        if matches!(spec.trigger, Trigger::Heartbeat { .. }) {
            spec.trigger = Trigger::Heartbeat { seconds: 1 };
        }
    }
    contract
}

/// An exporter that hangs until its sender is dropped.
#[derive(Debug)]
struct Held(mpsc::Receiver<()>);

impl Exporter for Held {
    fn name(&self) -> &str {
        "held"
    }

    fn is_network(&self) -> bool {
        false
    }

    fn export(&mut self, _: &ExportRecord) -> Outcome {
        let _ = self.0.recv();
        Outcome::Delivered
    }
}

/// Starts an engine with an exporter that hangs.
fn held() -> (mpsc::Sender<()>, Usage) {
    let (release, held) = mpsc::channel();
    let builder = Operator::new().engine(&vllm::V0_4_0).with_accelerators(sample::accelerators());
    (release, builder.with_exporters([]).with_exporter(Held(held)).try_init().unwrap())
}

#[test]
fn heartbeats_start_after_the_first_record() {
    let server = Receiver::start();
    let operator = Operator::new().with("VLLM_USAGE_STATS_SERVER", server.url());
    let usage = operator.engine(&quick_beats()).try_init().unwrap();
    usage.set_heartbeat(Attributes::new("vllm.heartbeat").with("vllm.num_preemptions", 3_u32));
    usage.record(sample::vllm_report());
    let report: serde_json::Value = serde_json::from_slice(&server.next().body).unwrap();
    let mut times = vec![report["log_time"].as_i64().unwrap()];
    for _ in 0..2 {
        let beat = server.take_of_any_contract(1).remove(0).text();
        assert_eq!(keys(&beat), ["uuid", "log_time", "num_preemptions"]);
        let beat: serde_json::Value = serde_json::from_str(&beat).unwrap();
        assert_eq!(beat["uuid"], report["uuid"]);
        assert_eq!(beat["num_preemptions"], 3);
        times.push(beat["log_time"].as_i64().unwrap());
    }
    assert!(times.is_sorted());
}

#[test]
fn an_engine_without_records_sends_nothing() {
    let server = Receiver::start();
    let operator = Operator::new().with("LMCACHE_USAGE_TRACK_URL", server.url());
    let usage = operator.engine(&lmcache::DOC).try_init().unwrap();
    settled(&usage);
    usage.finish();
    drop(usage);
    assert!(server.is_silent());
}

#[test]
fn finish_does_not_wait_for_a_server_that_never_answers() {
    // Without a folder for messages, waiting would have no end: a message on disk ends it after ten seconds.
    for folder in ["", "none"] {
        let server = Receiver::scripted(Vec::new(), Answer::Hang);
        let operator = Operator::new()
            .with("VLLM_USAGE_STATS_SERVER", server.url())
            .with("OTEL_USAGE_EXPORTERS", "server")
            .with("OTEL_USAGE_SPOOL_DIR", folder);
        let usage = operator.engine(&vllm::V0_4_0).try_init().unwrap();
        usage.record(sample::vllm_report());
        let _ = server.next();
        let finished = usage.clone();
        returns(move || finished.finish());
        // The message is neither delivered nor lost, because its POST is still open.
        let account = exporter(&usage.stats(), "server");
        assert_eq!((account.accepted, account.delivered), (1, 0));
        assert_eq!(account.queued + account.in_flight + account.spooled, 1);
        returns(move || drop(usage));
    }
}

#[test]
fn the_last_drop_does_not_wait_for_an_exporter_that_hangs() {
    let (_release, usage) = held();
    usage.record(sample::vllm_report());
    returns(move || drop(usage));
}

#[test]
fn drop_after_finish_does_not_wait() {
    // Each `finish` waits a quarter of a second, all at the same time. If the drops waited as well, one after
    // another, that would be 2500 turns.
    let engines: Vec<_> = (0..100).map(|_| held()).collect();
    std::thread::scope(|scope| {
        for (_, usage) in &engines {
            usage.record(sample::vllm_report());
            scope.spawn(|| usage.finish());
        }
    });
    let (_releases, handles): (Vec<_>, Vec<_>) = engines.into_iter().unzip();
    let ((), waited) = turns(move || drop(handles));
    assert!(waited < 1000, "{waited}");
}

#[test]
fn finish_detached_still_sends_queued_messages() {
    let server = Receiver::start();
    let operator = Operator::new().with("LMCACHE_USAGE_TRACK_URL", server.url());
    let usage = operator.engine(&lmcache::DOC).try_init().unwrap();
    usage.record(sample::lmcache_engine());
    usage.finish_detached();
    drop(usage);
    let last = server.take(3).pop().unwrap();
    assert!(last.text().starts_with("{\"message_type\": \"MetadataMessage\""));
}

#[test]
fn the_run_ends_once_with_its_last_clone() {
    let server = Receiver::start();
    let operator = Operator::new().with("LMCACHE_USAGE_TRACK_URL", server.url());
    let usage = operator.engine(&lmcache::DOC).try_init().unwrap();
    let other = usage.clone();
    usage.record(sample::lmcache_engine());
    settled(&usage);
    drop(usage);
    assert_eq!(server.take(2).len(), 2);
    assert!(server.is_silent());
    other.finish();
    other.finish();
    other.record(sample::lmcache_engine());
    assert_eq!(other.stats().lost[&Loss::TooLate], 1);
    drop(other);
    assert!(server.next().text().contains("MetadataMessage"));
    assert!(server.is_silent());
}

#[test]
fn the_queue_is_bounded_and_every_record_is_counted() {
    let (release, usage) = held();
    let records = 5_000;
    for _ in 0..records {
        usage.record(sample::vllm_report());
    }
    let full = usage.stats().lost[&Loss::QueueFull];
    assert!(full > records - 1_000, "{full}");
    drop(release);
    settled(&usage);
    let stats = usage.stats();
    assert_eq!(stats.recorded + stats.lost[&Loss::QueueFull], records);
    assert_eq!(stats.exporters[0].accepted, stats.exporters[0].delivered);
}

#[cfg(target_os = "linux")]
#[test]
fn a_hanging_probe_loses_a_field_and_no_message() {
    let server = Receiver::start();
    let operator = Operator::new().with("LMCACHE_USAGE_TRACK_URL", server.url());
    std::fs::create_dir_all(operator.path(".config/lmcache")).unwrap();
    // A lock that another process never gives back hangs, like a mount that is gone.
    let file = std::fs::File::create(operator.path(".config/lmcache/machine_id")).unwrap();
    file.lock().unwrap();
    let usage = operator.engine(&lmcache::V1).try_init().unwrap();
    usage.record(sample::lmcache_engine());
    let requests = server.take(3);
    assert!(requests[0].text().contains("\"machine_id\": \"\""));
    settled(&usage);
    // The file. On a slow machine also the accelerators, if it still waits for the lock when they are asked for.
    assert!((1..=2).contains(&usage.stats().lost[&Loss::Probe]), "{:?}", usage.stats());
}

#[test]
fn handles_are_send_sync_and_cheap_to_clone() {
    fn check<T: Send + Sync + Clone>() {}
    check::<Usage>();
    let collected = Collected::default();
    let usage = Operator::new()
        .engine(&vllm::CURRENT)
        .with_exporters([])
        .with_exporter(collected.clone())
        .try_init()
        .unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let usage = usage.clone();
            std::thread::spawn(move || usage.record(sample::vllm_report()))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    settled(&usage);
    assert_eq!(collected.messages().len(), 4);
}
