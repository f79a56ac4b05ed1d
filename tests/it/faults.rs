//! An engine with the default settings meets each fault of a server.
//!
//! `otel-usage mock-server` plays the same faults.

use std::io::Write as _;
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use otel_usage::export::ExporterStats;
use otel_usage::schema::vllm;
use otel_usage::{Flush, Usage};
use otel_usage_mock_server::{Connection, Event, FAULTS, MockServer, Request, Script, status};
use otel_usage_testing::{Operator, PATIENCE, sample, settled, turns};

use crate::exporters::exporter;

/// A server that misbehaves, and what happened in it.
struct Mock {
    server: MockServer,
    /// An event, and its time.
    events: mpsc::Receiver<(Instant, Event)>,
}

impl Mock {
    fn start(faults: &[&str]) -> Self {
        let faults: Vec<_> = faults.iter().map(|fault| fault.parse().unwrap()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (sender, events) = mpsc::channel();
        let tell = move |event| {
            let _ = sender.send((Instant::now(), event));
        };
        let server = MockServer::start(listener, Script::new(faults).unwrap(), tell).unwrap();
        Self { server, events }
    }

    /// Waits for the first event for which `find` returns something.
    fn wait<T>(&self, find: impl Fn(Event) -> Option<T>) -> T {
        loop {
            if let (_, Some(found)) = self.next(&find) {
                return found;
            }
        }
    }

    fn next<T>(&self, find: impl Fn(Event) -> Option<T>) -> (Instant, Option<T>) {
        let (when, event) = self.events.recv_timeout(PATIENCE).expect("an event of the server");
        (when, find(event))
    }

    fn request(&self) -> (usize, Request) {
        self.wait(|event| match event {
            Event::Request(connection, request) => Some((connection, request)),
            _ => None,
        })
    }

    /// Waits until a connection begins.
    fn begun(&self) {
        self.wait(|event| matches!(event, Event::Begins(..)).then_some(()));
    }

    /// Waits until a connection ends, and returns how many bytes it was answered.
    fn answered(&self) -> u64 {
        self.wait(|event| match event {
            Event::Ends(_, sent, _) => Some(sent),
            _ => None,
        })
    }
}

fn engine(url: &str) -> (Operator, Usage) {
    let operator = Operator::new().with("VLLM_USAGE_STATS_SERVER", url);
    let usage = operator.engine(&vllm::CURRENT).try_init().unwrap();
    (operator, usage)
}

fn account(usage: &Usage) -> ExporterStats {
    let account = exporter(&usage.stats(), "server");
    let dropped: u64 = account.dropped.values().sum();
    assert_eq!(
        account.accepted,
        account.delivered + account.queued + account.in_flight + account.spooled + dropped,
        "{account:?}"
    );
    account
}

/// The end of a message that meets a fault.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    /// The server took it, however badly it said so.
    AtOnce,
    /// The next attempt delivers it.
    Retried,
    /// The server refused it.
    Refused,
    /// It waits on disk, because this fault does not end soon.
    Waits,
}

/// The end of a message for each fault of the mock server.
const ENDS: [(&str, End); 25] = [
    ("ok", End::AtOnce),
    ("hang-connect", End::Waits),
    ("hang-accept", End::Retried),
    ("hang-tls", End::Waits),
    ("hang-head", End::Retried),
    ("hang-body", End::Retried),
    ("hang-answer", End::AtOnce),
    ("slow", End::Retried),
    ("close", End::Retried),
    ("reset", End::Retried),
    ("garbage", End::Retried),
    ("status:408", End::Retried),
    ("status:429", End::Retried),
    // A flush does not skip a pause for which a server asks.
    ("status:429:600", End::Waits),
    ("status:500", End::Retried),
    ("status:503", End::Retried),
    ("status:503:Wed, 21 Oct 2099 07:28:00 GMT", End::Waits),
    ("status:404", End::Refused),
    ("length:long", End::AtOnce),
    ("length:short", End::AtOnce),
    ("length:two", End::Retried),
    ("length:word", End::Retried),
    ("large", End::AtOnce),
    ("large-head", End::Retried),
    ("continue", End::Retried),
];

/// Reports once to a server with this fault, which then behaves well, and returns what became of it.
fn meet(fault: &str) -> End {
    let alone = fault == "hang-connect" || fault == "hang-tls";
    let script = if alone { vec![fault] } else { vec![fault, "ok"] };
    let mock = Mock::start(&script);
    let url = mock.server.url();
    // A handshake is only begun by a client that wants one.
    let url = if fault == "hang-tls" { url.replace("http:", "https:") } else { url };
    let (_operator, usage) = engine(&url);
    usage.record(sample::vllm_report());
    // Each flush tries once more at once.
    for _ in 0..if alone { 1 } else { 5 } {
        if usage.flush(PATIENCE) == Flush::Settled {
            break;
        }
    }
    let account = account(&usage);
    assert_eq!(account.accepted, 1, "{fault}: {account:?}");
    assert_eq!(usage.stats().lost.len(), 0, "{fault}: {:?}", usage.stats().lost);
    let requests: Vec<(usize, Request)> = mock
        .events
        .try_iter()
        .filter_map(|(_, event)| match event {
            Event::Request(connection, request) => Some((connection, request)),
            _ => None,
        })
        .collect();
    assert!(requests.windows(2).all(|pair| pair[0].1.body == pair[1].1.body), "{fault}");
    match (account.delivered, account.spooled, account.dropped.len()) {
        (1, 0, 0) if requests.last().is_some_and(|(connection, _)| *connection > 1) => End::Retried,
        (1, 0, 0) => End::AtOnce,
        (0, 1, 0) => End::Waits,
        (0, 0, 1) => End::Refused,
        _ => panic!("{fault}: {account:?}"),
    }
}

#[test]
fn after_each_fault_what_can_be_delivered_is_delivered_and_the_accounts_add_up() {
    for (form, _) in FAULTS {
        let name = form.split(['[', ':']).next().unwrap();
        assert!(ENDS.iter().any(|(fault, _)| fault.starts_with(name)), "{name} is not tried");
    }
    thread::scope(|scope| {
        let runs = ENDS.map(|(fault, end)| (fault, end, scope.spawn(move || meet(fault))));
        for (fault, end, run) in runs {
            assert_eq!(run.join().expect(fault), end, "{fault}");
        }
    });
}

#[test]
fn recording_is_not_delayed_while_a_server_hangs() {
    thread::scope(|scope| {
        for fault in ["hang-accept", "hang-head", "hang-body", "hang-answer", "slow", "continue"] {
            scope.spawn(move || {
                let mock = Mock::start(&[fault]);
                let (_operator, usage) = engine(&mock.server.url());
                usage.record(sample::vllm_report());
                mock.begun();
                let ((), waited) = turns(|| {
                    for _ in 0..1000 {
                        usage.record(sample::vllm_report());
                    }
                });
                // The first attempt ends after five seconds.
                assert!(waited < 400, "{fault}: {waited}");
                assert_eq!(account(&usage).delivered, 0, "{fault}");
                usage.finish_detached();
            });
        }
    });
}

#[test]
fn a_large_answer_is_not_read_to_its_end() {
    // The system takes some MB from a server before its client reads them.
    const ALL: u64 = 400_000_000;
    for (fault, end) in [("large", 1), ("large-head", 0)] {
        let mock = Mock::start(&[&format!("{fault}:{ALL}"), "close"]);
        let (_operator, usage) = engine(&mock.server.url());
        usage.record(sample::vllm_report());
        let sent = mock.answered();
        assert!(sent < ALL / 4, "{fault}: {sent} bytes");
        let _ = usage.flush(PATIENCE);
        assert_eq!(account(&usage).delivered, end, "{fault}");
        usage.withdraw();
    }
}

#[test]
fn what_follows_an_answer_is_not_taken_for_the_next_answer() {
    let mock = Mock::start(&["length:short", "ok"]);
    let (_operator, usage) = engine(&mock.server.url());
    for connection in [1, 2] {
        usage.record(sample::vllm_report());
        settled(&usage);
        // On the first connection an answer lies ready that belongs to no request.
        assert_eq!(mock.request().0, connection);
    }
    assert_eq!(account(&usage).delivered, 2);
}

#[test]
fn an_answer_that_nobody_asked_for_ends_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_operator, usage) = engine(&format!("http://{}", listener.local_addr().unwrap()));
    usage.record(sample::vllm_report());
    let (mut first, _) = listener.accept().unwrap();
    Connection::new(&first.try_clone().unwrap()).request().unwrap().unwrap();
    first.write_all(&status(200, "")).unwrap();
    settled(&usage);
    // The client has kept the connection, and waits for nothing.
    first.write_all(&status(200, "")).unwrap();
    usage.record(sample::vllm_report());
    listener.set_nonblocking(true).unwrap();
    let begun = Instant::now();
    let mut second = loop {
        if let Ok((second, _)) = listener.accept() {
            break second;
        }
        assert_eq!(account(&usage).delivered, 1, "the answer was taken for that of a request");
        assert!(begun.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(5));
    };
    second.set_nonblocking(false).unwrap();
    Connection::new(&second.try_clone().unwrap()).request().unwrap().unwrap();
    second.write_all(&status(200, "")).unwrap();
    settled(&usage);
    assert_eq!(account(&usage).delivered, 2);
}

#[test]
fn the_time_that_a_server_asks_for_is_waited_for() {
    let mock = Mock::start(&["status:429:4", "ok"]);
    let (_operator, usage) = engine(&mock.server.url());
    usage.record(sample::vllm_report());
    let request = || {
        loop {
            let found = mock.next(|event| match event {
                Event::Request(_, request) => Some(request),
                _ => None,
            });
            if let (when, Some(request)) = found {
                break (when, request);
            }
        }
    };
    let (begun, first) = request();
    // Without the wish of the server the first pause is two seconds at most.
    let (ended, second) = request();
    assert!(ended - begun >= Duration::from_secs(4), "{:?}", ended - begun);
    assert_eq!(first.body, second.body);
    settled(&usage);
    assert_eq!(account(&usage).delivered, 1);
}

#[test]
fn a_server_that_asks_for_ever_loses_nothing() {
    for after in ["99999999999999999999", "31536000", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        let mock = Mock::start(&[&format!("status:503:{after}"), "ok"]);
        let (_operator, usage) = engine(&mock.server.url());
        usage.record(sample::vllm_report());
        let _ = mock.request();
        let waits = account(&usage);
        assert_eq!((waits.delivered, waits.dropped.len()), (0, 0), "{after}: {waits:?}");
        for _ in 0..2 {
            assert_eq!(usage.flush(PATIENCE), Flush::Durable, "{after}");
        }
        let waits = account(&usage);
        assert_eq!((waits.delivered, waits.spooled), (0, 1), "{after}: {waits:?}");
    }
}
