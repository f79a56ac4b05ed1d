//! Checks that collector and bridge change no byte between engine and usage server, and lose nothing in
//! an outage.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Once;

use otel_usage::schema::{lmcache, vllm};
use otel_usage_testing::python::Originals;
use otel_usage_testing::receiver::{Answer, Receiver, Request};
use otel_usage_testing::sample;
use otel_usage_testing::{Collected, Operator, schemas};

use crate::otelcol::{Otelcol, find, free};
use crate::program::Program;
use crate::{client, peers};

/// Returns the flat messages that engines made, with the number of each.
fn flat<'a>(seen: impl IntoIterator<Item = &'a Collected>) -> BTreeMap<String, usize> {
    let records = seen.into_iter().flat_map(Collected::records);
    count(records.filter_map(|record| Some(record.message()?.to_json())))
}

fn count(bodies: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for body in bodies {
        *counts.entry(body).or_default() += 1;
    }
    counts
}

#[test]
fn the_chain_delivers_the_bytes_an_engine_would_post() {
    let (Some(binary), Some(command)) = (find(), peers::command()) else { return };
    let server = Receiver::start();
    let bridge = Program::bridge(&command, &server.url()).started();
    let mut otelcol =
        Otelcol::new(&binary, "direct.yaml").with("COLLECTOR_BRIDGE", bridge.url()).started();
    let seen = [
        client::run(&vllm::CURRENT, otelcol.http, sample::vllm_report()),
        client::run(&vllm::V0_4_0, otelcol.http, sample::vllm_report()),
        client::run(&lmcache::V1, otelcol.http, sample::lmcache_engine()),
        client::run(&lmcache::V1, otelcol.http, sample::lmcache_mp_server()),
        client::run(&lmcache::DOC, otelcol.http, sample::lmcache_engine()),
    ];
    let sent = flat(&seen);
    // The end of the server sends the open interval: cache usage and the first level.
    assert_eq!(sent.values().sum::<usize>(), 1 + 1 + 3 + 4 + 3);
    let arrived = server.take(sent.values().sum());
    assert_eq!(count(arrived.iter().map(|request| request.text())), sent);
    for request in arrived {
        let text = request.text();
        let path = match text.split_once("\"message_type\": \"") {
            None => "/",
            Some((_, of)) if of.starts_with("ContinuousContextMessage") => "/cache-usage",
            Some((_, of)) if of.starts_with("L1UsageMessage") => "/l1-usage",
            Some(_) => "/context",
        };
        assert_eq!(request.path, path);
    }
    // Nothing else arrives, because the spans of the runs are not messages.
    otelcol.stop();
    assert!(server.is_silent());
}

#[test]
fn the_chain_sanitizes_flat_json_of_an_old_engine() {
    let (Some(binary), Some(command)) = (find(), peers::command()) else { return };
    let (server, at) = (Receiver::start(), free());
    let bridge = Program::bridge(&command, &server.url()).started();
    let _otelcol = Otelcol::new(&binary, "legacy-flat.yaml")
        .with("COLLECTOR_BRIDGE", bridge.url())
        .with("COLLECTOR_FLAT", at.to_string())
        .started();
    let records =
        Operator::new().engine(&lmcache::V1).inspect().unwrap().preview(sample::lmcache_engine());
    let clean = records.iter().find(|record| record.kind() == lmcache::ENGINE).unwrap();
    let clean = clean.message().unwrap().to_json();
    assert!(clean.contains("\"redis://\""));
    let raw = clean.replace("\"redis://\"", "\"redis://user:pw@host\"");
    let answer = client::post(at, "/context", "application/json", raw.as_bytes());
    assert_eq!(answer, Some(200));
    assert_eq!(server.next().text(), clean);
}

#[test]
fn the_unmodified_originals_reach_the_server_through_the_collector() {
    let (Some(binary), Some(command)) = (find(), peers::command()) else { return };
    let originals = match Originals::wheels() {
        Ok(originals) => originals,
        Err(because) => {
            static SAID: Once = Once::new();
            return peers::missing("Python originals", &because, &SAID);
        }
    };
    let (server, at) = (Receiver::start(), free());
    let bridge = Program::bridge(&command, &server.url()).started();
    let _otelcol = Otelcol::new(&binary, "legacy-flat.yaml")
        .with("COLLECTOR_BRIDGE", bridge.url())
        .with("COLLECTOR_FLAT", at.to_string())
        .started();
    for (scenario, expected) in [
        ("vllm-cpu", vec!["report", "heartbeat"]),
        (
            "lmcache-remote",
            vec![
                "EnvMessage",
                "EngineMessage",
                "MetadataMessage",
                "ContinuousContextMessage",
                "CacheLifespanMessage",
            ],
        ),
    ] {
        let home = tempfile::tempdir().unwrap();
        let played = originals
            .play(scenario, &format!("http://{at}"))
            .unwrap()
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home.path())
            .output()
            .unwrap();
        assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stderr));
        let arrived = server.take(expected.len());
        let mut names: Vec<String> = arrived.iter().map(name).collect();
        let mut expected = expected;
        // The collector may forward a batch in any order.
        names.sort_unstable();
        expected.sort_unstable();
        assert_eq!(names, expected, "{scenario}");
        for request in arrived {
            assert!(!request.text().contains("secret"), "{}", request.text());
            assert!(!request.text().contains("/home/someone"), "{}", request.text());
            if name(&request) == "EngineMessage" {
                assert!(request.text().contains("\"remote_url\": \"redis://\""));
            }
        }
    }
    assert!(server.is_silent());
}

/// Checks the message of a request against its JSON Schema and returns its name.
fn name(request: &Request) -> String {
    let message: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    schemas::check_any(&message);
    let start = if message.get("provider").is_some() { "report" } else { "heartbeat" };
    message["message_type"].as_str().unwrap_or(start).to_owned()
}

#[test]
fn an_outage_of_the_whole_chain_loses_nothing() {
    let (Some(binary), Some(command)) = (find(), peers::command()) else { return };
    let at = free();
    let mut bridge = Program::bridge(&command, &format!("http://{at}")).started();
    let mut otelcol =
        Otelcol::new(&binary, "direct.yaml").with("COLLECTOR_BRIDGE", bridge.url()).started();
    let mut seen = Vec::new();
    let run = |otelcol: &Otelcol| client::run(&lmcache::V1, otelcol.http, sample::lmcache_engine());
    // First no server, then no bridge either, then a new collector.
    seen.push(run(&otelcol));
    bridge.kill();
    seen.push(run(&otelcol));
    otelcol.kill();
    otelcol.start();
    seen.push(run(&otelcol));
    bridge.start();
    seen.push(run(&otelcol));

    let server = Receiver::on(TcpListener::bind(at).unwrap(), Vec::new(), Answer::Status(200, ""));
    let sent = flat(&seen);
    let mut arrived = server.take(sent.values().sum());
    otelcol.stop();
    arrived.extend(server.requests.try_iter());
    // Nothing arrives twice, because nothing was being delivered when a program was killed.
    assert_eq!(count(arrived.iter().map(|request| request.text())), sent);
}
