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
