//! The life of a run: heartbeats by themselves, an end that does not wait, and what comes too late.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use otel_usage::schema::{Contract, Field, Trigger, Type, lmcache, vllm};
use otel_usage::{Attributes, Loss, Outcome, Report, Sink, Usage};

use crate::receiver::{Answer, Receiver};
use crate::sample;
use crate::support::{Collected, Operator, keys, settled};

/// vLLM with a beat a second and one runtime key.
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

#[test]
fn heartbeats_come_by_themselves_after_the_first_report() {
    let server = Receiver::start();
    let operator = Operator::new().with("VLLM_USAGE_STATS_SERVER", server.url());
    let usage = operator.engine(&quick_beats()).init().unwrap();
    usage.heartbeat(Attributes::of("vllm.heartbeat").with("vllm.num_preemptions", 3_u32));
    usage.start(sample::vllm_report());
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
fn an_engine_that_never_reports_sends_nothing_at_all() {
    let server = Receiver::start();
    let operator = Operator::new().with("LMCACHE_USAGE_TRACK_URL", server.url());
    let usage = operator.engine(&lmcache::DOC).init().unwrap();
    settled(&usage);
    usage.finish();
    drop(usage);
    assert!(server.is_silent());
}

#[test]
fn a_server_that_never_answers_delays_the_end_by_its_budget_only() {
    let server = Receiver::scripted(Vec::new(), Answer::Hang);
    let operator = Operator::new().with("VLLM_USAGE_STATS_SERVER", server.url());
    let usage = operator.engine(&vllm::CURRENT).init().unwrap();
    usage.start(sample::vllm_report());
    let _ = server.next();
    let start = Instant::now();
    drop(usage);
    // 250 ms; far from the 5 s of one POST, and with room for a busy machine.
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn what_finish_has_waited_for_the_drop_does_not_wait_for_again() {
    let server = Receiver::scripted(Vec::new(), Answer::Hang);
    let operator = Operator::new().with("VLLM_USAGE_STATS_SERVER", server.url());
    let usage = operator.engine(&vllm::CURRENT).init().unwrap();
    usage.start(sample::vllm_report());
    let _ = server.next();
    let start = Instant::now();
    usage.finish();
    let finish = start.elapsed();
    drop(usage);
    // The drop takes next to nothing of what `finish` took: together they are the one delay.
    let drop = start.elapsed() - finish;
    assert!(drop < finish / 2, "{finish:?} and then {drop:?}");
}

#[test]
fn finish_detached_does_not_wait_and_what_is_queued_still_goes_out() {
    let server = Receiver::start();
    let operator = Operator::new().with("LMCACHE_USAGE_TRACK_URL", server.url());
    let usage = operator.engine(&lmcache::DOC).init().unwrap();
    usage.start(sample::lmcache_engine());
    usage.finish_detached();
    drop(usage);
    let last = server.take(3).pop().unwrap();
    assert!(last.text().starts_with("{\"message_type\": \"MetadataMessage\""));
}

#[test]
fn the_last_clone_ends_the_run_once() {
    let server = Receiver::start();
    let operator = Operator::new().with("LMCACHE_USAGE_TRACK_URL", server.url());
    let usage = operator.engine(&lmcache::DOC).init().unwrap();
    let other = usage.clone();
    usage.start(sample::lmcache_engine());
    settled(&usage);
    drop(usage);
    assert_eq!(server.take(2).len(), 2);
    assert!(server.is_silent());
    other.finish();
    other.finish();
    other.start(sample::lmcache_engine());
    assert_eq!(other.stats().lost[&Loss::TooLate], 1);
    drop(other);
    assert!(server.next().text().contains("MetadataMessage"));
    assert!(server.is_silent());
}

/// A sink that works only when it is allowed to.
#[derive(Debug)]
struct Held(mpsc::Receiver<()>);

impl Sink for Held {
    fn name(&self) -> &str {
        "held"
    }

    fn is_network(&self) -> bool {
        false
    }

    fn take(&mut self, _: &Report) -> Outcome {
        let _ = self.0.recv();
        Outcome::Delivered
    }
}

#[test]
fn recording_is_bounded_and_every_record_is_accounted_for() {
    let operator = Operator::new();
    let (release, held) = mpsc::channel();
    let usage =
        operator.engine(&vllm::V0_4_0).with_exporters([]).with_sink(Held(held)).init().unwrap();
    let records = 5_000;
    for _ in 0..records {
        usage.start(sample::vllm_report());
    }
    let full = usage.stats().lost[&Loss::QueueFull];
    assert!(full > records - 1_000, "{full}");
    drop(release);
    settled(&usage);
    let stats = usage.stats();
    assert_eq!(stats.recorded + stats.lost[&Loss::QueueFull], records);
    assert_eq!(stats.sinks[0].accepted, stats.sinks[0].delivered);
}

#[cfg(target_os = "linux")]
#[test]
fn a_probe_that_hangs_costs_a_field_and_no_report() {
    let server = Receiver::start();
    let operator = Operator::new().with("LMCACHE_USAGE_TRACK_URL", server.url());
    std::fs::create_dir_all(operator.path(".config/lmcache")).unwrap();
    // Opening a named pipe without a writer never returns, like a mount that is gone.
    let made = std::process::Command::new("mkfifo")
        .arg(operator.path(".config/lmcache/machine_id"))
        .status()
        .unwrap();
    assert!(made.success());
    let usage = operator.engine(&lmcache::V1).init().unwrap();
    let start = Instant::now();
    usage.start(sample::lmcache_engine());
    assert!(start.elapsed() < Duration::from_secs(2), "the engine waited for the probe");
    let requests = server.take(3);
    assert!(requests[0].text().contains("\"machine_id\": \"\""));
    settled(&usage);
    // The file, and the accelerators that were not asked for beside it.
    assert_eq!(usage.stats().lost[&Loss::Probe], 2);
}

#[test]
fn handles_are_send_sync_and_cheap_to_clone() {
    fn check<T: Send + Sync + Clone>() {}
    check::<Usage>();
    let collected = Collected::default();
    let usage = Operator::new()
        .engine(&vllm::CURRENT)
        .with_exporters([])
        .with_sink(collected.clone())
        .init()
        .unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let usage = usage.clone();
            std::thread::spawn(move || usage.start(sample::vllm_report()))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    settled(&usage);
    assert_eq!(collected.messages().len(), 4);
}
