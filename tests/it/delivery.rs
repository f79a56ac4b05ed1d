//! Checks what becomes of messages that wait: a server's answers, and consent that changes.

use std::time::Duration;

use otel_usage::Flush;
use otel_usage::export::{ExportRecord, Exporter, Outcome};
use otel_usage::schema::{Loss, lmcache, vllm};
use otel_usage_testing::{Collected, Operator, PATIENCE, sample, settled, until};

use crate::exporters::exporter;
use crate::receiver::{Answer, Receiver};

#[test]
fn temporary_errors_are_retried_and_others_are_counted() {
    for (script, delivered, dropped) in [
        (vec![Answer::Status(500, ""), Answer::Status(503, "Retry-After: 0\r\n")], 1, 0),
        (vec![Answer::Status(429, ""), Answer::BreakOff], 1, 0),
        (vec![Answer::Status(408, "")], 1, 0),
        (vec![Answer::Status(400, "")], 0, 1),
        (vec![Answer::Status(404, "")], 0, 1),
        // The consent does not cover another server.
        (vec![Answer::Status(302, "Location: http://127.0.0.1:9/\r\n")], 0, 1),
    ] {
        let tries = if delivered == 1 { script.len() + 1 } else { 1 };
        let server = Receiver::scripted(script, Answer::Status(200, ""));
        let operator = Operator::new().with("VLLM_USAGE_STATS_SERVER", server.url());
        let usage = operator.engine(&vllm::V0_4_0).try_init().unwrap();
        usage.record(sample::vllm_report());
        // Each flush tries once more at once. Otherwise the second attempt comes after a second.
        for _ in 0..tries {
            let _ = usage.flush(Duration::from_millis(50));
        }
        settled(&usage);
        let account = exporter(&usage.stats(), "server");
        assert_eq!(account.delivered, delivered);
        assert_eq!(account.dropped.values().sum::<u64>(), dropped);
        assert_eq!(account.accepted, account.delivered + account.queued + dropped);
        assert_eq!(server.requests.try_iter().count(), tries);
    }
}

#[test]
fn flush_returns_how_many_messages_wait() {
    let server = Receiver::scripted(Vec::new(), Answer::Status(503, "Retry-After: 600\r\n"));
    let operator = Operator::new()
        .with("LMCACHE_USAGE_TRACK_URL", server.url())
        .with("OTEL_USAGE_SPOOL_DIR", "none");
    let usage = operator.engine(&lmcache::V1).try_init().unwrap();
    usage.record(sample::lmcache_engine());
    let _ = server.next();
    // The first one is on its way until its answer has arrived.
    until(|| usage.flush(Duration::from_millis(300)) == Flush::Memory(3));
    until(|| exporter(&usage.stats(), "server").queued == 3);
}

#[test]
fn a_flush_says_once_what_was_lost() {
    let server = Receiver::scripted(vec![Answer::Status(400, "")], Answer::Status(200, ""));
    let operator = Operator::new().with("VLLM_USAGE_STATS_SERVER", server.url());
    let usage = operator.engine(&vllm::CURRENT).try_init().unwrap();
    usage.record(sample::vllm_report());
    assert_eq!(usage.flush(PATIENCE), Flush::Lost(1));
    assert_eq!(usage.flush(PATIENCE), Flush::Settled);
    usage.record(sample::vllm_report());
    assert_eq!(usage.flush(PATIENCE), Flush::Settled);
    usage.finish();
    usage.record(sample::vllm_report());
    assert_eq!(usage.flush(PATIENCE), Flush::Lost(1), "it came too late");
}

#[test]
fn a_full_outbox_loses_the_oldest_and_no_flush_calls_that_durable() {
    for place in ["none", "~/spool"] {
        let server = Receiver::scripted(Vec::new(), Answer::Status(503, ""));
        let operator = Operator::new()
            .with("VLLM_USAGE_STATS_SERVER", server.url())
            .with("OTEL_USAGE_EXPORTERS", "server")
            .with("OTEL_USAGE_SPOOL_DIR", place);
        let usage = operator.engine(&vllm::CURRENT).try_init().unwrap();
        for number in 0..20 {
            usage.record(vllm::Report { block_size: Some(number), ..sample::vllm_report() });
            // One after another, because the span queue is drained at once.
            let _ = usage.flush(Duration::from_millis(if number == 0 { 300 } else { 0 }));
        }
        let safe = place != "none";
        let wanted = if safe { Flush::Durable } else { Flush::Memory(16) };
        until(|| usage.flush(Duration::from_millis(500)) == wanted);
        let account = exporter(&usage.stats(), "server");
        assert_eq!(account.accepted, 20);
        assert_eq!(account.dropped.get(&Loss::QueueFull), Some(&4), "{place}: {account:?}");
        let waiting = account.queued + account.in_flight + account.spooled;
        assert_eq!((waiting, account.delivered), (16, 0), "{place}");
        usage.withdraw();
    }
}

#[test]
fn withdrawal_drops_waiting_messages_and_later_records() {
    let server = Receiver::scripted(Vec::new(), Answer::Status(503, ""));
    let operator = Operator::new()
        .with("VLLM_USAGE_STATS_SERVER", server.url())
        .with("OTEL_USAGE_EXPORTERS", "server,file");
    let usage = operator.engine(&vllm::CURRENT).try_init().unwrap();
    usage.record(sample::vllm_report());
    let _ = server.next();
    usage.withdraw();
    settled(&usage);
    assert_eq!(exporter(&usage.stats(), "server").dropped[&Loss::Consent], 1);
    // On a slow machine it was tried again before the withdrawal.
    let _ = server.requests.try_iter().count();
    let file = operator.path(".config/vllm/usage_stats.json");
    let size = std::fs::metadata(&file).unwrap().len();
    usage.record(sample::vllm_report());
    settled(&usage);
    drop(usage);
    assert_eq!(std::fs::metadata(&file).unwrap().len(), size);
    assert!(server.is_silent());
}

#[test]
fn a_marker_file_stops_a_running_engine() {
    let server = Receiver::start();
    let operator = Operator::new().with("VLLM_USAGE_STATS_SERVER", server.url());
    let usage = operator.engine(&vllm::CURRENT).try_init().unwrap();
    usage.record(sample::vllm_report());
    let _ = server.next();
    settled(&usage);
    std::fs::write(operator.path(".config/vllm/do_not_track"), "").unwrap();
    usage.record(sample::vllm_report());
    settled(&usage);
    assert!(server.is_silent());
    let file = std::fs::read_to_string(operator.path(".config/vllm/usage_stats.json")).unwrap();
    assert_eq!(file.lines().count(), 1);
    assert_eq!(usage.stats().lost[&Loss::Consent], 1);
}

#[test]
fn local_consent_keeps_messages_on_this_machine() {
    let (server, collector) = (Receiver::start(), Receiver::start());
    let operator = Operator::new()
        .with("OTEL_USAGE_MODE", "local")
        .with("OTEL_USAGE_EXPORTERS", "server,otlp,file")
        .with("OTEL_USAGE_OTLP_ENDPOINT", collector.url())
        .with("VLLM_USAGE_STATS_SERVER", server.url());
    let usage = operator.engine(&vllm::CURRENT).try_init().unwrap();
    usage.record(sample::vllm_report());
    settled(&usage);
    drop(usage);
    assert!(operator.path(".config/vllm/usage_stats.json").exists());
    assert!(server.is_silent() && collector.is_silent());
}

/// An exporter of the engine's own that leaves the machine.
#[derive(Debug)]
struct Elsewhere(Collected);

impl Exporter for Elsewhere {
    fn name(&self) -> &str {
        "elsewhere"
    }

    fn is_network(&self) -> bool {
        true
    }

    fn export(&mut self, record: &ExportRecord) -> Outcome {
        self.0.export(record)
    }
}

#[test]
fn a_mode_file_with_local_stops_only_the_network_of_a_running_engine() {
    let (server, elsewhere, here) = (Receiver::start(), Collected::default(), Collected::default());
    let operator = Operator::new().with("LMCACHE_USAGE_TRACK_URL", server.url());
    let usage = operator
        .engine(&lmcache::V1)
        .with_exporter(Elsewhere(elsewhere.clone()))
        .with_exporter(here.clone())
        .try_init()
        .unwrap();
    usage.record(sample::lmcache_engine());
    settled(&usage);
    assert_eq!(
        (server.take(3).len(), elsewhere.messages().len(), here.messages().len()),
        (3, 3, 3)
    );

    std::fs::create_dir_all(operator.path(".config/otel-usage")).unwrap();
    std::fs::write(operator.path(".config/otel-usage/mode"), "local").unwrap();
    usage.record(sample::lmcache_engine());
    settled(&usage);
    assert!(server.is_silent());
    assert_eq!((elsewhere.messages().len(), here.messages().len()), (3, 4));
    assert_eq!(exporter(&usage.stats(), "elsewhere").dropped[&Loss::Consent], 1);
}
