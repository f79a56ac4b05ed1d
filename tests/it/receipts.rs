//! Checks the record of what left: the last deliveries in the statistics, and the journal on disk.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use otel_usage::export::{Delivery, DeliveryOutcome};
use otel_usage::receipts::{Receipt, Receipts, read};
use otel_usage::schema::vllm;
use otel_usage::settings::ReceiptsMode;
use otel_usage::{Flush, Usage};
use otel_usage_testing::receiver::serve;
use otel_usage_testing::{Operator, PATIENCE, sample, settled, until};
use prost::Message as _;

use crate::exporters::exporter;
use crate::receiver::{Answer, Receiver};

/// Returns the exporters `server` and `otlp` to one place, whose URLs have secrets.
fn operator(address: SocketAddr) -> Operator {
    let url = |path: &str| format!("http://user:hunter2@{address}{path}?token=hunter2");
    Operator::new()
        .with("OTEL_USAGE_EXPORTERS", "server,otlp,file")
        .with("VLLM_USAGE_STATS_SERVER", url("/base"))
        .with("OTEL_USAGE_OTLP_ENDPOINT", url(""))
}

fn engine(operator: &Operator) -> Usage {
    operator.engine(&vllm::CURRENT).try_init().unwrap()
}

/// Returns what the statistics say of the only delivery of an exporter.
fn only(usage: &Usage, name: &str) -> Delivery {
    let [delivery] = exporter(&usage.stats(), name).deliveries.try_into().unwrap();
    delivery
}

#[test]
fn the_statistics_hold_the_deliveries_of_every_network_exporter() {
    let server = Receiver::start();
    let operator = operator(server.address);
    let usage = engine(&operator);
    usage.record(sample::vllm_report());
    let bodies: Vec<u64> = server.take(2).iter().map(|request| request.body.len() as u64).collect();
    settled(&usage);
    for (name, path) in [("server", "/base"), ("otlp", "/v1/traces")] {
        let delivery = only(&usage, name);
        assert_eq!(delivery.contract, "vllm/current");
        assert_eq!(delivery.exporter, name);
        assert_eq!(delivery.message, vllm::CURRENT.messages[0].name);
        assert_eq!(delivery.destination, format!("http://{}{path}", server.address));
        assert_eq!((delivery.outcome, delivery.status), (DeliveryOutcome::Delivered, Some(200)));
        assert!(bodies.contains(&delivery.bytes), "{delivery:?}");
        assert!(delivery.unix_millis > 1_600_000_000_000, "{delivery:?}");
        assert_eq!(delivery.identity.len(), 32);
    }
    // Both exporters sent the same record.
    assert_eq!(only(&usage, "server").identity, only(&usage, "otlp").identity);
    assert_eq!(only(&usage, "server").instance_id, only(&usage, "otlp").instance_id);
    assert_eq!(exporter(&usage.stats(), "file").deliveries, []);
}

#[test]
fn the_statistics_tell_a_refusal_from_a_failure() {
    for (answer, outcome, status) in [
        (Answer::Status(404, ""), DeliveryOutcome::Refused, Some(404)),
        (Answer::Status(503, ""), DeliveryOutcome::Failed, Some(503)),
        (Answer::BreakOff, DeliveryOutcome::Failed, None),
    ] {
        let server = Receiver::scripted(Vec::new(), answer);
        let operator = operator(server.address).with("OTEL_USAGE_EXPORTERS", "server");
        let usage = engine(&operator);
        usage.record(sample::vllm_report());
        let _ = server.next();
        // The attempt of the flush comes after the end of the first.
        assert_ne!(usage.flush(PATIENCE), Flush::Memory(1));
        let account = exporter(&usage.stats(), "server");
        let first = &account.deliveries[0];
        assert_eq!((first.outcome, first.status), (outcome, status));
        let tries: Vec<&str> = account.deliveries.iter().map(|one| one.identity.as_str()).collect();
        assert!(tries.iter().all(|identity| *identity == first.identity), "{tries:?}");
        usage.withdraw();
    }
}

fn journal(operator: &Operator) -> PathBuf {
    operator.path(".local/state/otel-usage/receipts.jsonl")
}

/// Returns what the journal holds, which has no damage.
fn receipts(operator: &Operator) -> Vec<Receipt> {
    let Receipts { receipts, damaged, .. } = read(&journal(operator)).unwrap().unwrap_or_default();
    assert_eq!(damaged, 0);
    receipts
}

/// Returns a server without an answer, and an engine with a journal whose report is on its way to it.
fn on_its_way() -> (TcpListener, Operator, Usage) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let operator = operator(listener.local_addr().unwrap())
        .with("OTEL_USAGE_EXPORTERS", "server")
        .with("OTEL_USAGE_RECEIPTS", "on");
    let usage = engine(&operator);
    usage.record(sample::vllm_report());
    (listener, operator, usage)
}

#[test]
fn the_attempt_is_on_disk_before_the_first_byte_arrives_and_the_outcome_after_the_answer() {
    let (listener, operator, usage) = on_its_way();
    let (stream, _) = listener.accept().unwrap();
    // No byte of the request was read yet, and none has to be there.
    let [before] = receipts(&operator).try_into().unwrap();
    assert_eq!(before.delivery.outcome, DeliveryOutcome::Unknown);
    std::thread::spawn(move || serve(&stream, |_| Answer::Status(200, "")));
    settled(&usage);
    let [after] = receipts(&operator).try_into().unwrap();
    let mut done = before.delivery;
    (done.outcome, done.status) = (DeliveryOutcome::Delivered, Some(200));
    assert_eq!((after.delivery, after.body), (done.clone(), None));
    assert_eq!(only(&usage, "server"), done);
}

#[test]
fn bodies_are_those_that_left_and_nothing_else_is_recorded() {
    for compression in ["none", "gzip"] {
        let server = Receiver::start();
        let operator = operator(server.address)
            .with("OTEL_USAGE_OTLP_HEADERS", "x-key=hunter2")
            .with("OTEL_USAGE_OTLP_COMPRESSION", compression)
            .with("OTEL_USAGE_RECEIPTS", " Bodies ");
        let usage = engine(&operator);
        usage.record(sample::vllm_report());
        let requests = server.take(2);
        settled(&usage);
        let receipts = receipts(&operator);
        assert_eq!(receipts.len(), 2);
        for Receipt { delivery, body, .. } in receipts {
            let flat = delivery.exporter == "server";
            let sent = requests.iter().find(|request| request.path.starts_with("/base") == flat);
            let sent = &sent.unwrap().body;
            assert_eq!(delivery.bytes, sent.len() as u64);
            let body = body.unwrap();
            // Compressed or not, each receiver has it.
            assert!(body.contains(&delivery.instance_id.unwrap()), "{body}");
            if flat {
                assert_eq!(body.as_bytes(), sent);
                continue;
            }
            let mut plain = Vec::new();
            match compression {
                "gzip" => drop(flate2::read::GzDecoder::new(&sent[..]).read_to_end(&mut plain)),
                _ => plain.extend_from_slice(sent),
            }
            let read: ExportTraceServiceRequest = serde_json::from_str(&body).unwrap();
            assert_eq!(read.encode_to_vec(), plain);
        }
        let text = std::fs::read_to_string(journal(&operator)).unwrap();
        assert!(!text.contains("hunter2") && !text.contains("user"), "{text}");
    }
}

#[test]
fn no_journal_is_written_unless_it_was_asked_for_and_messages_may_leave() {
    for (variables, sends) in [
        (&[][..], true),
        (&[("OTEL_USAGE_RECEIPTS", "off")], true),
        (&[("OTEL_USAGE_RECEIPTS", "")], true),
        (&[("OTEL_USAGE_RECEIPTS", "yes")], true),
        (&[("OTEL_USAGE_RECEIPTS", "on"), ("DO_NOT_TRACK", "1")], false),
        (&[("OTEL_USAGE_RECEIPTS", "on"), ("OTEL_USAGE_MODE", "local")], false),
    ] {
        let server = Receiver::start();
        let with = |operator: Operator, (name, value): &(&str, &str)| operator.with(name, *value);
        let operator = variables.iter().fold(operator(server.address), with);
        let usage = engine(&operator);
        usage.record(sample::vllm_report());
        settled(&usage);
        assert_eq!(exporter(&usage.stats(), "server").delivered, u64::from(sends));
        drop(usage);
        assert!(!operator.path(".local").exists(), "{variables:?}");
    }
}

#[test]
fn after_an_opt_out_nothing_is_added_to_the_journal() {
    let (listener, operator, usage) = on_its_way();
    let (stream, _) = listener.accept().unwrap();
    // The request is on its way when the operator opts out, and completes.
    let mode = operator.path(".config/otel-usage/mode");
    std::fs::create_dir_all(mode.parent().unwrap()).unwrap();
    std::fs::write(&mode, "off").unwrap();
    let before = std::fs::read(journal(&operator)).unwrap();
    std::thread::spawn(move || serve(&stream, |_| Answer::Status(200, "")));
    // After an opt-out a flush does not wait for it.
    until(|| exporter(&usage.stats(), "server").delivered == 1);
    usage.record(sample::vllm_report());
    settled(&usage);
    assert_eq!(exporter(&usage.stats(), "server").delivered, 1);
    assert_eq!(std::fs::read(journal(&operator)).unwrap(), before);
    assert_eq!(only(&usage, "server").outcome, DeliveryOutcome::Delivered);
}

/// Returns what a builder tells while an engine delivers one message.
fn told(operator: &Operator, server: &Receiver) -> Vec<String> {
    let said = Arc::new(Mutex::new(Vec::new()));
    let hear = Arc::clone(&said);
    let builder = operator.engine(&vllm::CURRENT);
    let builder = builder.on_notice(move |level, text| {
        if level == tracing::Level::WARN {
            hear.lock().unwrap().push(text.to_owned());
        }
    });
    let usage = builder.try_init().unwrap();
    for _ in 0..2 {
        usage.record(sample::vllm_report());
        let _ = server.next();
    }
    settled(&usage);
    drop(usage);
    said.lock().unwrap().clone()
}

#[test]
fn a_word_that_is_no_mode_and_a_journal_that_cannot_be_written_are_one_warning_and_messages_leave()
{
    let server = Receiver::start();
    let engine = || {
        Operator::new()
            .with("OTEL_USAGE_EXPORTERS", "server")
            .with("VLLM_USAGE_STATS_SERVER", server.url())
    };
    let unknown = engine().with("OTEL_USAGE_RECEIPTS", "bodie\u{1b}s");
    let [warning] = told(&unknown, &server).try_into().unwrap();
    assert!(warning.starts_with("OTEL_USAGE_RECEIPTS is `bodie s`, which is no mode"), "{warning}");

    let closed = engine().with("OTEL_USAGE_RECEIPTS", "on");
    std::fs::write(closed.path(".local"), "a file").unwrap();
    let [warning] = told(&closed, &server).try_into().unwrap();
    assert!(
        warning.contains("receipts.jsonl") && warning.contains("without a receipt"),
        "{warning}"
    );

    let damaged = engine();
    std::fs::create_dir_all(damaged.path(".config/otel-usage")).unwrap();
    std::fs::write(damaged.path(".config/otel-usage/receipts"), "onn").unwrap();
    let [warning] = told(&damaged, &server).try_into().unwrap();
    assert!(warning.contains("run otel-usage receipts on"), "{warning}");
    assert!(!journal(&damaged).exists());
}

#[test]
fn the_variable_wins_over_the_configuration_file_and_that_over_the_file_of_the_command() {
    let server = Receiver::start();
    let settings = |operator: &Operator| {
        let inspection = operator.engine(&vllm::CURRENT).inspect().unwrap();
        let settings = inspection.settings();
        assert_eq!(settings.warnings, Vec::<String>::new());
        (settings.receipts.mode, settings.receipts.because.clone())
    };
    let operator = operator(server.address);
    assert_eq!(settings(&operator), (ReceiptsMode::Off, "default".to_owned()));
    let file = operator.path(".config/otel-usage/receipts");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "bodies\n").unwrap();
    let (mode, because) = settings(&operator);
    assert_eq!((mode, because), (ReceiptsMode::Bodies, format!("file {}", file.display())));
    let config = operator.path("usage.yaml");
    std::fs::write(
        &config,
        "file_format: \"1.1\"\ndistribution:\n  otel_usage:\n    receipts: on\n",
    )
    .unwrap();
    let operator = operator.with("OTEL_USAGE_CONFIG", config.to_str().unwrap());
    let (mode, because) = settings(&operator);
    assert_eq!(mode, ReceiptsMode::On);
    assert!(because.contains("usage.yaml:4:") && because.ends_with(": receipts"), "{because}");
    let operator = operator.with("OTEL_USAGE_RECEIPTS", "off");
    let because = "environment variable OTEL_USAGE_RECEIPTS".to_owned();
    assert_eq!(settings(&operator), (ReceiptsMode::Off, because));
}

#[test]
fn a_message_of_a_process_that_ended_has_its_name_and_identity_in_both_receipts() {
    // It is away for the first engine, and back for the second.
    let server = Receiver::away();
    let operator = operator(server.address)
        .with("OTEL_USAGE_EXPORTERS", "server")
        .with("OTEL_USAGE_RECEIPTS", "on");
    let usage = engine(&operator);
    usage.record(sample::vllm_report());
    assert_eq!(usage.flush(PATIENCE), Flush::Durable);
    usage.finish();
    drop(usage);
    server.come_back();
    let next = engine(&operator);
    next.record(sample::vllm_report());
    let _ = server.take(2);
    settled(&next);
    let first = receipts(&operator).remove(0).delivery;
    assert_eq!((first.outcome, first.status), (DeliveryOutcome::Failed, Some(503)));
    // Either engine delivers it, and the first may be about to note the outcome.
    let deadline = Instant::now() + PATIENCE;
    let delivered = loop {
        let mut all: Vec<Delivery> =
            receipts(&operator).into_iter().map(|one| one.delivery).collect();
        all.retain(|one| one.outcome == DeliveryOutcome::Delivered);
        if all.len() == 2 {
            break all;
        }
        assert!(Instant::now() < deadline, "{all:?}");
        std::thread::yield_now();
    };
    assert!(delivered.iter().all(|one| one.message == first.message), "{delivered:?}");
    assert_eq!(delivered.iter().filter(|one| one.identity == first.identity).count(), 1);
}
