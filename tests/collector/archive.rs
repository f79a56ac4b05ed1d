//! `archive.yaml` and `replay.yaml`: records go to files, and from files to the bridge.

use std::time::{Duration, Instant};

use otel_usage::schema::{lmcache, vllm};
use otel_usage_testing::receiver::Receiver;
use otel_usage_testing::sample;

use crate::client;
use crate::otelcol::{Otelcol, find};

#[test]
fn a_replayed_archive_delivers_every_record() {
    let Some(binary) = find() else { return };
    let mut archive = Otelcol::new(&binary, "archive.yaml").started();
    let mut sent = client::sent(&client::run(&vllm::CURRENT, archive.http, sample::vllm_report()));
    // Acknowledged records are written, and a new start appends to the file.
    archive.kill();
    archive.start();
    sent.extend(client::sent(&client::run(&lmcache::V1, archive.http, sample::lmcache_engine())));
    archive.kill();

    let folder = archive.state.path().join("archive").display().to_string();
    let bridge = Receiver::start();
    let mut replay = Otelcol::new(&binary, "replay.yaml")
        .with("COLLECTOR_ARCHIVE", folder)
        .with("COLLECTOR_BRIDGE", bridge.url())
        .started();
    assert_eq!(client::arrived(&bridge, sent.len()), sent);

    // A second start continues after the first one.
    replay.stop();
    replay.start();
    let more = client::sent(&{
        archive.start();
        client::run(&lmcache::V1, archive.http, sample::lmcache_mp_server())
    });
    assert_eq!(client::arrived(&bridge, more.len()), more);
}

/// Checks that only the collector's user can read an archive.
#[test]
fn an_archive_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;

    let Some(binary) = find() else { return };
    let archive = Otelcol::new(&binary, "archive.yaml").started();
    client::run(&vllm::CURRENT, archive.http, sample::vllm_report());
    let folder = archive.state.path().join("archive");
    let until = Instant::now() + Duration::from_secs(120);
    while !folder.join("usage.jsonl").exists() {
        assert!(Instant::now() < until, "no archive");
    }
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o077, 0);
}
