//! Checks messages that wait on disk while their server is away.

use std::net::SocketAddr;
#[cfg(target_os = "linux")]
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use otel_usage::schema::{Contract, Loss, vllm};
use otel_usage::{Attributes, Flush, Usage};
use tracing::Level;

use otel_usage_testing::{Operator, PATIENCE, sample, settled, turns, until};

use crate::exporters::exporter;
use crate::receiver::{Answer, Receiver};

/// Returns the address of a server that is away. Only one test uses `host`, so that the port stays free.
#[cfg(target_os = "linux")]
fn away(host: &str) -> SocketAddr {
    TcpListener::bind((host, 0)).unwrap().local_addr().unwrap()
}

#[cfg(target_os = "linux")]
fn back(address: SocketAddr) -> Receiver {
    Receiver::on(TcpListener::bind(address).unwrap())
}

fn operator(address: SocketAddr) -> Operator {
    Operator::new()
        .with("VLLM_USAGE_STATS_SERVER", format!("http://{address}"))
        .with("OTEL_USAGE_EXPORTERS", "server")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).into_iter().flatten().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|end| end != "lock")).collect()
}

/// Runs an engine of which a message is left on disk.
fn leave_one(operator: &Operator, contract: &Contract) -> Usage {
    let usage = operator.engine(contract).try_init().unwrap();
    usage.record(sample::vllm_report());
    assert_eq!(usage.flush(PATIENCE), Flush::Durable);
    usage
}

/// Makes the one message of an engine that of a process that ended, and returns the bytes of its file.
///
/// The engine's worker lives as long as this process, so the file is put under the name of another owner.
#[cfg(target_os = "linux")]
fn end(usage: &Usage, folder: &Path) -> Vec<u8> {
    let [file] = entries(folder).try_into().unwrap();
    let stored = std::fs::read(&file).unwrap();
    usage.withdraw();
    until(|| std::fs::read_dir(folder).unwrap().count() == 0);
    let name = file.file_name().unwrap().to_str().unwrap();
    let (owner, rest) = name.split_once('.').unwrap();
    let ended = format!("{}{}.{rest}", &owner[..34], "0".repeat(32));
    std::fs::write(folder.join(ended), &stored).unwrap();
    stored
}

#[test]
fn nothing_is_written_while_delivery_succeeds() {
    let server = Receiver::start();
    let operator = operator(server.address);
    let usage = operator.engine(&vllm::CURRENT).try_init().unwrap();
    for _ in 0..3 {
        usage.record(sample::vllm_report());
        settled(&usage);
    }
    usage.finish();
    drop(usage);
    assert_eq!(server.take(3).len(), 3);
    assert!(!operator.path(".local").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn what_was_left_is_delivered_by_the_next_engine_with_the_same_bytes() {
    let address = away("127.0.0.77");
    let operator = operator(address);
    let folder = operator.path(".local/state/otel-usage");
    let usage = leave_one(&operator, &vllm::CURRENT);
    let account = exporter(&usage.stats(), "server");
    assert_eq!((account.accepted, account.queued, account.spooled), (1, 0, 1));
    // The end of the run leaves it there.
    usage.finish();
    let stored = end(&usage, &folder);

    let server = back(address);
    let next = operator.engine(&vllm::CURRENT).try_init().unwrap();
    next.record(sample::vllm_report());
    let mut bodies: Vec<Vec<u8>> = server.take(2).into_iter().map(|request| request.body).collect();
    settled(&next);
    assert!(server.is_silent() && entries(&folder).is_empty());
    bodies.retain(|body| stored.windows(body.len()).any(|part| part == body));
    assert_eq!(bodies.len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn an_entry_is_never_sent_to_another_destination_or_by_another_contract() {
    let operator = operator(away("127.0.0.78"));
    let folder = operator.path(".local/state/otel-usage");
    let ended = leave_one(&operator, &vllm::CURRENT);
    end(&ended, &folder);
    let left = entries(&folder);
    assert_eq!(left.len(), 1);
    // An operator's own server is gone, and the engine goes on with the public one.
    let public = Receiver::start();
    let other = operator.with("VLLM_USAGE_STATS_SERVER", public.url());
    let usage = other.engine(&vllm::CURRENT).try_init().unwrap();
    usage.record(sample::vllm_report());
    settled(&usage);
    drop(usage);
    assert_eq!(public.take(1).len(), 1);
    assert!(public.is_silent());
    assert_eq!(entries(&folder), left);
    // Its worker deletes what it can when it ends, because consent was withdrawn.
    drop(ended);
}

#[test]
fn without_a_place_messages_wait_in_memory() {
    let server = Receiver::scripted(Vec::new(), Answer::Status(503, ""));
    let file = Operator::new();
    std::fs::write(file.path("file"), "").unwrap();
    let open = file.path("open");
    std::fs::create_dir(&open).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let (open, below) = (open.display().to_string(), file.path("file/below").display().to_string());
    let places =
        [("none", 0), (" None ", 0), (&below, 0), ("relative/path", 1), ("~bob/a", 1), (&open, 1)];
    for (place, warnings) in places {
        let operator = operator(server.address).with("OTEL_USAGE_SPOOL_DIR", place);
        let inspection = operator.engine(&vllm::CURRENT).inspect().unwrap();
        assert!(inspection.settings().memory_only.is_some(), "{place}");
        let said = Arc::new(Mutex::new(Vec::new()));
        let listener = Arc::clone(&said);
        let tell = move |level: Level, text: &str| {
            if level == Level::WARN {
                listener.lock().unwrap().push(text.to_owned());
            }
        };
        let engine = operator.engine(&vllm::CURRENT).on_notice(tell);
        let usage = engine.try_init().unwrap();
        usage.record(sample::vllm_report());
        let _ = server.next();
        assert_eq!(usage.flush(Duration::from_millis(100)), Flush::Memory(1), "{place}");
        let said = said.lock().unwrap();
        assert_eq!(said.len(), warnings, "{place}: {said:?}");
        assert!(said.iter().all(|text| text.contains("OTEL_USAGE_SPOOL_DIR")), "{said:?}");
        assert!(!operator.path(".local").exists());
    }
}

/// An engine whose collector takes a message and does not answer for the time of this test.
fn hanging() -> (Receiver, Operator, Usage) {
    let collector = Receiver::scripted(vec![Answer::Hang], Answer::Status(200, ""));
    let operator = Operator::new()
        .with("OTEL_USAGE_EXPORTERS", "otlp")
        .with("OTEL_USAGE_OTLP_ENDPOINT", collector.url())
        .with("OTEL_USAGE_OTLP_TIMEOUT", "600000");
    let usage = operator.engine(&vllm::CURRENT).try_init().unwrap();
    usage.record(sample::vllm_report());
    let _ = collector.next();
    (collector, operator, usage)
}

#[test]
fn a_failed_attempt_saves_what_waits_without_a_flush() {
    // The next attempt is an hour away.
    let server = Receiver::scripted(Vec::new(), Answer::Status(503, "retry-after: 3600\r\n"));
    let operator = operator(server.address);
    let usage = operator.engine(&vllm::CURRENT).try_init().unwrap();
    usage.record(sample::vllm_report());
    let folder = operator.path(".local/state/otel-usage");
    until(|| exporter(&usage.stats(), "server").spooled == 1);
    assert_eq!(entries(&folder).len(), 1);
    // A withdrawal does not wait for that attempt either.
    usage.withdraw();
    until(|| std::fs::read_dir(&folder).unwrap().count() == 0);
}

#[test]
fn a_flush_saves_what_is_on_its_way_before_its_time_is_up() {
    let (collector, operator, usage) = hanging();
    // Later messages wait behind it.
    usage.record(sample::vllm_report());
    // A busy disk may take longer than the first call has. After ten seconds it is saved without a flush.
    let mut flushes = (0..400).map(|_| usage.flush(Duration::from_millis(300)));
    assert!(flushes.any(|flush| flush == Flush::Durable));
    assert_eq!(entries(&operator.path(".local/state/otel-usage")).len(), 2);
    let account = exporter(&usage.stats(), "otlp");
    assert_eq!((account.accepted, account.in_flight, account.spooled), (2, 0, 2));
    assert!(collector.is_silent(), "the first request is still on its way");
    usage.withdraw();
}

#[test]
fn the_end_of_a_run_saves_what_is_on_its_way() {
    let (_collector, operator, usage) = hanging();
    let folder = operator.path(".local/state/otel-usage");
    let ((), waited) = turns(|| {
        usage.finish();
        // The report and the span of the run.
        until(|| entries(&folder).len() == 2);
    });
    assert!(waited < 900, "it was saved because the answer is late");
    usage.withdraw();
    until(|| entries(&folder).is_empty());
}

#[test]
fn a_withdrawal_deletes_what_waits_while_a_request_is_on_its_way() {
    let (collector, operator, usage) = hanging();
    let folder = operator.path(".local/state/otel-usage");
    let mut flushes = (0..400).map(|_| usage.flush(Duration::from_millis(300)));
    assert!(flushes.any(|flush| flush == Flush::Durable));
    usage.withdraw();
    until(|| std::fs::read_dir(&folder).unwrap().count() == 0);
    settled(&usage);
    assert_eq!(exporter(&usage.stats(), "otlp").dropped[&Loss::Consent], 1);
    assert!(collector.is_silent());
}

#[test]
fn the_place_is_the_named_folder_then_the_state_folder() {
    let server = Receiver::scripted(Vec::new(), Answer::Status(503, ""));
    let place = |variables: &[(&str, &str)], below: &str| {
        let mut operator = operator(server.address);
        let home = operator.home.path().display().to_string();
        for (name, value) in variables {
            operator = operator.with(name, value.replace('@', &home));
        }
        let usage = leave_one(&operator, &vllm::CURRENT);
        assert_eq!(entries(&operator.path(below)).len(), 1, "{variables:?}");
        usage.withdraw();
    };
    place(&[], ".local/state/otel-usage");
    place(&[("XDG_STATE_HOME", "@/state")], "state/otel-usage");
    place(&[("XDG_STATE_HOME", "state")], ".local/state/otel-usage");
    place(&[("XDG_STATE_HOME", "@/state"), ("OTEL_USAGE_SPOOL_DIR", "~/own")], "own");
    place(&[("OTEL_USAGE_SPOOL_DIR", " ")], ".local/state/otel-usage");
}

#[test]
fn an_opt_out_deletes_what_waits_on_disk_and_nothing_is_sent_after_it() {
    for by_file in [true, false] {
        // It is away for the first engine, and back for the second.
        let server = Receiver::away();
        let operator = operator(server.address);
        let usage = operator.engine(&vllm::CURRENT).try_init().unwrap();
        usage.record(sample::vllm_report());
        let _ = server.next();
        let folder = operator.path(".local/state/otel-usage");
        assert_eq!(usage.flush(PATIENCE), Flush::Durable);
        let mode = operator.path(".config/otel-usage/mode");
        if by_file {
            std::fs::create_dir_all(mode.parent().unwrap()).unwrap();
            std::fs::write(&mode, "off").unwrap();
        } else {
            usage.withdraw();
        }
        settled(&usage);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        let account = exporter(&usage.stats(), "server");
        assert_eq!((account.accepted, account.dropped[&Loss::Consent]), (1, 1));
        drop(usage);
        server.come_back();
        let _ = std::fs::remove_file(&mode);
        let next = operator.engine(&vllm::CURRENT).try_init().unwrap();
        next.record(sample::vllm_report());
        settled(&next);
        assert_eq!(server.take(1).len(), 1);
        assert!(server.is_silent());
    }
}

#[test]
fn an_off_that_a_running_engine_did_not_see_drops_what_it_made_before() {
    // It is away for the first record.
    let server = Receiver::away();
    let operator = operator(server.address);
    let usage = operator.engine(&vllm::CURRENT).try_init().unwrap();
    usage.record(sample::vllm_report());
    let older = server.next().body;
    assert_eq!(usage.flush(PATIENCE), Flush::Durable);
    // What `otel-usage off` and `on` leave behind, and a clock that runs behind.
    let own = operator.path(".config/otel-usage");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(own.join("cutoff"), "1000\n").unwrap();
    std::fs::write(own.join("mode"), "on\n").unwrap();
    for file in entries(&operator.path(".local/state/otel-usage")) {
        // The engine may be writing or deleting it at this moment.
        let _ = std::fs::remove_file(file);
    }
    server.come_back();
    usage.record(Attributes::new(vllm::HEARTBEAT));
    settled(&usage);
    let newer = server.next().body;
    assert_ne!(newer, older);
    assert!(server.is_silent());
    let account = exporter(&usage.stats(), "server");
    assert_eq!((account.accepted, account.delivered, account.dropped[&Loss::Consent]), (2, 1, 1));
}

#[test]
fn a_process_that_is_off_neither_reads_nor_deletes_what_waits() {
    let server = Receiver::scripted(Vec::new(), Answer::Status(503, ""));
    let operator = operator(server.address);
    let folder = operator.path(".local/state/otel-usage");
    // Its worker does not look again while this test runs.
    let usage = leave_one(&operator, &vllm::CURRENT);
    let left = entries(&folder);
    for (name, value) in [("DO_NOT_TRACK", "1"), ("OTEL_USAGE_MODE", "local")] {
        let off = Operator::new()
            .with("HOME", operator.home.path().display().to_string())
            .with("VLLM_USAGE_STATS_SERVER", server.url())
            .with(name, value);
        let other = off.engine(&vllm::CURRENT).try_init().unwrap();
        other.record(sample::vllm_report());
        settled(&other);
        drop(other);
        assert_eq!(entries(&folder), left);
    }
    usage.withdraw();
}

#[test]
fn while_the_server_is_away_only_the_newest_heartbeat_waits() {
    let server = Receiver::scripted(Vec::new(), Answer::Status(503, ""));
    let operator = operator(server.address);
    let usage = leave_one(&operator, &vllm::CURRENT);
    for _ in 0..4 {
        usage.record(Attributes::new(vllm::HEARTBEAT));
        assert_eq!(usage.flush(PATIENCE), Flush::Durable);
    }
    let account = exporter(&usage.stats(), "server");
    assert_eq!((account.accepted, account.queued, account.spooled), (5, 0, 2));
    assert_eq!(account.dropped[&Loss::Superseded], 3);
    assert_eq!(entries(&operator.path(".local/state/otel-usage")).len(), 2);
    usage.withdraw();
}
