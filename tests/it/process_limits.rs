//! Checks an engine in a process with unusual limits: no free file descriptors, and a umask that forbids nothing.
#![cfg(target_os = "linux")]

use std::os::unix::fs::PermissionsExt as _;

use otel_usage::Flush;
use otel_usage::schema::lmcache;
use otel_usage_testing::sample;
use otel_usage_testing::{Operator, settled};

use crate::receiver::{Answer, Receiver};

/// Tells a child process of this program where its server is.
const CHILD: &str = "OTEL_USAGE_TEST_DESCRIPTORS_URL";

#[test]
fn running_out_of_file_descriptors_is_no_opt_out() {
    let close = Answer::Status(200, "Connection: close\r\n");
    let server = Receiver::scripted(Vec::new(), close);
    let program = std::env::current_exe().unwrap();
    let child =
        "ulimit -n 64; exec \"$0\" --exact process_limits::child_without_descriptors --ignored";
    let output = std::process::Command::new("sh")
        .args(["-c", child])
        .arg(program)
        .env(CHILD, server.url())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(server.requests.try_iter().count(), 8);
}

#[test]
#[ignore = "the other process of the test above"]
fn child_without_descriptors() {
    let Ok(url) = std::env::var(CHILD) else { return };
    for mode in [None, Some("on")] {
        let operator = Operator::new().with("LMCACHE_USAGE_TRACK_URL", &url);
        if let Some(mode) = mode {
            let folder = operator.path(".config/otel-usage");
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("mode"), mode).unwrap();
        }
        let usage = operator.engine(&lmcache::V1).try_init().unwrap();
        usage.record(sample::lmcache_engine());
        settled(&usage);
        let mut held = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            held.push(file);
        }
        usage.record(sample::lmcache_engine());
        let flushed = usage.flush(std::time::Duration::from_millis(500));
        held.clear();
        assert!(matches!(flushed, Flush::Memory(1..)), "{mode:?} {flushed:?} {:?}", usage.stats());
        settled(&usage);
        assert!(usage.stats().lost.is_empty(), "{:?}", usage.stats());
    }
}

#[test]
fn files_and_folders_are_private_whatever_the_umask_is() {
    let program = std::env::current_exe().unwrap();
    let child = "umask 0; exec \"$0\" --exact process_limits::child_without_umask --ignored";
    let output = std::process::Command::new("sh")
        .args(["-c", child])
        .arg(program)
        .env(CHILD, Receiver::start().url())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
#[ignore = "the other process of the test above"]
fn child_without_umask() {
    let Ok(url) = std::env::var(CHILD) else { return };
    let operator = Operator::new()
        .with("OTEL_USAGE_EXPORTERS", "server,file")
        .with("LMCACHE_USAGE_TRACK_URL", &url)
        .with("OTEL_USAGE_FILE", "~/new/folder/usage.jsonl");
    let folder = operator.path(".config/lmcache");
    let _ = std::fs::remove_dir_all(&folder);
    let usage = operator.engine(&lmcache::V1).try_init().unwrap();
    usage.record(sample::lmcache_engine());
    settled(&usage);
    for (path, mode) in [
        (operator.path("new"), 0o700),
        (operator.path("new/folder"), 0o700),
        (operator.path("new/folder/usage.jsonl"), 0o600),
        (folder.clone(), 0o700),
        (folder.join("machine_id"), 0o600),
    ] {
        let metadata =
            std::fs::metadata(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{}", path.display());
    }
}
