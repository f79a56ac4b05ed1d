//! A usage server that keeps its messages in ClickHouse, as a process. A stand-in plays ClickHouse.

use std::collections::BTreeSet;
use std::path::Path;

use otel_usage_testing::clickhouse::ClickHouse;

use crate::serve_process::{Serve, about, serve, uuid, wait};

const BEATS: &str = "usage_vllm_current_heartbeat";

fn start(folder: &Path, clickhouse: &ClickHouse) -> Serve {
    let mut command = serve(folder);
    command.args(["--store", "clickhouse", &clickhouse.url(), "--spool-bytes", "20kB"]);
    Serve::start_as(command, folder)
}

#[test]
fn a_killed_receiver_delivers_everything_that_it_answered() {
    let (folder, mut clickhouse) = (tempfile::tempdir().unwrap(), ClickHouse::away());
    let mut server = start(folder.path(), &clickhouse);
    let (mut client, mut answered) = (server.client(), BTreeSet::new());
    // Until the spool is full.
    for number in 0.. {
        match client.beat(&uuid(number)) {
            Some(200) => answered.insert(uuid(number)),
            Some(503) => break,
            other => panic!("{other:?}"),
        };
    }
    assert!(answered.len() > 20, "{}", answered.len());
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    drop(server);
    clickhouse.come();
    let server = start(folder.path(), &clickhouse);
    let arrived = || clickhouse.values(BEATS, "uuid").into_iter().collect::<BTreeSet<_>>();
    wait("the delivery", || (arrived().len() >= answered.len()).then_some(()));
    // The room of what was delivered is free a moment later.
    wait("room", || (server.client().beat(&uuid(1_000_000)) == Some(200)).then_some(()));
    answered.insert(uuid(1_000_000));
    // The rest is delivered before the end.
    assert!(server.terminate().success());
    assert_eq!(arrived(), answered);
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(!log.contains("secret"), "{log}");
}

#[test]
fn the_statements_of_the_tables_are_printed_and_a_wrong_kind_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (done, text) = about(folder.path(), &["tables"]);
    assert!(done, "{text}");
    for table in ["usage_vllm_current_report", "usage_lmcache_1_L1UsageMessage", "usage_origin"] {
        assert!(text.contains(&format!("CREATE TABLE IF NOT EXISTS {table} (")), "{text}");
    }
    for part in ["LowCardinality(String)", "CODEC(Delta, ZSTD)", "ReplacingMergeTree"] {
        assert!(text.contains(part), "{part}");
    }
    let (done, text) = about(folder.path(), &["--store", "duckdb", "http://127.0.0.1:1"]);
    assert!(!done && text.contains("only ClickHouse can be named"), "{text}");
}

#[test]
fn take_over_says_in_whose_place_the_server_is_and_what_was_read_back() {
    let (folder, mut clickhouse) = (tempfile::tempdir().unwrap(), ClickHouse::away());
    clickhouse.come();
    let url = clickhouse.url();
    let take_over = ["take-over", "--store", "clickhouse", &url];
    let (done, text) = about(folder.path(), &take_over);
    let first = "this server closes the days now; no day is closed yet\n";
    assert!(done && text.ends_with(first), "{text}");

    // Another server has closed days. The file of this one is new again.
    let folder = tempfile::tempdir().unwrap();
    let changes =
        r#"{"revised": [{"number": 3, "day": 20785, "time": 0, "reason": "late"}], "rows": []}"#;
    let newest = serde_json::json!([20_785, 3]);
    let all = serde_json::json!([20_785, 3, changes]);
    clickhouse.answer("FROM usage_publisher", "[5,\"the-lost-one\"]\n".to_owned());
    clickhouse.answer("WHERE (closed, number) >", String::new());
    clickhouse.answer("closed, number, changes FROM usage_published", format!("{all}\n"));
    clickhouse.answer("closed, number FROM usage_published", format!("{newest}\n"));
    let (done, text) = about(folder.path(), &take_over);
    let taken = "this server closes the days now, in the place of the-lost-one; \
        days up to 2026-11-28 and 3 corrections were read back\n";
    assert!(done && text.ends_with(taken), "{text}");
    let turns = clickhouse.rows("usage_publisher");
    let turns: Vec<i64> = turns.iter().filter_map(|row| row["turn"].as_i64()).collect();
    assert_eq!(turns, [1, 6]);
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn take_over_without_clickhouse_or_beside_a_running_server_takes_nothing() {
    let (folder, mut clickhouse) = (tempfile::tempdir().unwrap(), ClickHouse::away());
    let url = clickhouse.url();
    let take_over = ["take-over", "--store", "clickhouse", &url];
    let refused = |arguments: &[&str], why: &str| {
        let (done, text) = about(folder.path(), arguments);
        assert!(!done && text.contains(why) && !text.contains("secret"), "{text}");
        assert!(!text.contains("closes the days now"), "{text}");
    };
    refused(&["take-over"], "no ClickHouse is named: write --store clickhouse http://");
    refused(&take_over, "takes nothing");
    clickhouse.come();
    clickhouse.be_busy(true);
    refused(&take_over, "Too many parts");
    clickhouse.be_busy(false);
    let server = start(folder.path(), &clickhouse);
    refused(&take_over, "another otel-usage serve uses this file: stop it first");
    assert!(clickhouse.rows("usage_publisher").len() <= 1);
    assert!(server.terminate().success());
    assert!(about(folder.path(), &take_over).0);
}
