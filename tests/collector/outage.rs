//! Checks that acknowledged records arrive although the receiver was unavailable or the collector was killed.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use otel_usage::schema::lmcache;
use otel_usage_testing::receiver::{Answer, Receiver};
use otel_usage_testing::sample;

use crate::otelcol::{Otelcol, find, free};
use crate::{client, direct};

#[test]
fn a_receiver_gets_every_record_after_an_outage() {
    let Some(binary) = find() else { return };
    let bridge = free();
    let otelcol = Otelcol::new(&binary, "direct.yaml")
        .with("COLLECTOR_BRIDGE", format!("http://{bridge}"))
        .started();
    let mut sent = client::Records::new();
    for _ in 0..5 {
        let seen = client::run(&lmcache::V1, otelcol.http, sample::lmcache_engine());
        sent.extend(client::sent(&seen));
    }
    let bridge =
        Receiver::on(TcpListener::bind(bridge).unwrap(), Vec::new(), Answer::Status(200, ""));
    assert_eq!(client::arrived(&bridge, sent.len()), sent);
}

#[test]
fn a_busy_receiver_gets_every_record() {
    let Some(binary) = find() else { return };
    let busy = [
        Answer::Status(503, "Retry-After: 1\r\n"),
        Answer::Status(429, ""),
        Answer::BreakOff,
        Answer::Status(502, ""),
    ];
    let bridge = Receiver::scripted(busy.to_vec(), Answer::Status(200, ""));
    let otelcol =
        Otelcol::new(&binary, "direct.yaml").with("COLLECTOR_BRIDGE", bridge.url()).started();
    let seen = client::run(&lmcache::V1, otelcol.http, sample::lmcache_engine());
    let sent = client::sent(&seen);
    // Refused requests are repeated, so only the number of records counts.
    assert_eq!(client::arrived(&bridge, sent.len()), sent);
}

/// Checks that a full queue answers "later", so that the sender keeps its record.
#[test]
fn a_full_queue_refuses_and_asks_to_retry() {
    let Some(binary) = find() else { return };
    let otelcol = Otelcol::new(&binary, "direct.yaml")
        .with("COLLECTOR_BRIDGE", format!("http://{}", free()))
        .with("COLLECTOR_QUEUE_BYTES", "4000")
        .started();
    let request = direct::request("otel_usage", vec![direct::span("0000000000000001")]);
    let mut answers = (0..1000).map(|_| client::post_spans(otelcol.http, &request));
    assert_eq!(answers.find(|answer| *answer != Some(200)), Some(Some(503)));
}

/// Checks that a request that can never be delivered does not block the next one.
#[test]
fn a_refused_request_does_not_block_the_queue() {
    let Some(binary) = find() else { return };
    let bridge = Receiver::scripted(vec![Answer::Status(400, "")], Answer::Status(200, ""));
    let otelcol =
        Otelcol::new(&binary, "direct.yaml").with("COLLECTOR_BRIDGE", bridge.url()).started();
    client::run(&lmcache::V1, otelcol.http, sample::lmcache_engine());
    bridge.next();
    let seen = client::run(&lmcache::V1, otelcol.http, sample::lmcache_engine());
    let sent = client::sent(&seen);
    // Records of the first engine that were not refused may arrive earlier.
    let mut missing = sent.clone();
    while !missing.is_empty() {
        for id in client::arrived(&bridge, 1).keys() {
            missing.remove(id);
        }
    }
}

#[test]
fn a_killed_collector_loses_no_acknowledged_record() {
    let Some(binary) = find() else { return };
    let bridge = free();
    let mut otelcol = Otelcol::new(&binary, "direct.yaml")
        .with("COLLECTOR_BRIDGE", format!("http://{bridge}"))
        // Some records wait for their batch, some for the receiver.
        .with("COLLECTOR_FLUSH", "300ms")
        .started();
    let http = otelcol.http;
    let (stop, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let acknowledged = std::thread::scope(|scope| {
        // Two senders never pause, so that each kill interrupts a request.
        let senders = [1, 2].map(|sender| {
            let (stop, count) = (&stop, &count);
            scope.spawn(move || {
                let mut acknowledged = BTreeSet::new();
                for record in 0_u32.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let id = format!("{sender:08x}{record:08x}");
                    let request = direct::request("otel_usage", vec![direct::span(&id)]);
                    if client::post_spans(http, &request) == Some(200) {
                        acknowledged.insert(id);
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
                acknowledged
            })
        });
        for kill in 1..=5 {
            while count.load(Ordering::Relaxed) < 40 * kill {
                std::thread::sleep(Duration::from_millis(1));
            }
            otelcol.kill();
            otelcol.start();
        }
        stop.store(true, Ordering::Relaxed);
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect::<BTreeSet<_>>()
    });

    let bridge =
        Receiver::on(TcpListener::bind(bridge).unwrap(), Vec::new(), Answer::Status(200, ""));
    let mut missing = acknowledged;
    assert!(missing.len() >= 200);
    while !missing.is_empty() {
        // Records that were being sent when the collector was killed may arrive twice.
        for id in client::arrived(&bridge, 1).keys() {
            missing.remove(id);
        }
    }
}
