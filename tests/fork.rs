//! Checks that a forked child, which has no worker thread, neither reports nor hangs.
//!
//! It is a test program of its own because `fork` copies one thread of the process and leaves the locks
//! of the others as they are.

#![cfg(unix)]
#![allow(unsafe_code, clippy::unwrap_used, reason = "the test forks, and fails by panicking")]

use std::time::Duration;

use otel_usage::schema::Loss;
use otel_usage::schema::lmcache;
use otel_usage::settings::Env;
use otel_usage::{Attributes, Flush, Usage};

#[test]
fn a_forked_child_neither_reports_nor_hangs() {
    let home = tempfile::tempdir().unwrap();
    let log = home.path().join("usage.log");
    let usage = Usage::builder(&lmcache::V1)
        .with_sample_data()
        .with_environment(Env::given([
            ("HOME", home.path().to_str().unwrap()),
            ("OTEL_USAGE_MODE", "local"),
        ]))
        .with_local_log(&log)
        .try_init()
        .unwrap();
    usage.record(Attributes::new("lmcache.engine"));
    assert_eq!(usage.flush(Duration::from_secs(20)), Flush::Settled);
    let before = std::fs::read(&log).unwrap();

    // SAFETY: the child only records, drops and leaves by `_exit`; the C library keeps its allocator
    // usable in a forked child.
    let child = unsafe { libc::fork() };
    if child == 0 {
        usage.record(Attributes::new("lmcache.engine"));
        let counted = usage.stats().lost.get(&Loss::Forked) == Some(&1);
        let flushed = usage.flush(Duration::from_secs(20)) == Flush::Settled;
        usage.finish();
        drop(usage);
        // SAFETY: ends the child without running the parent's exit handlers.
        unsafe { libc::_exit(i32::from(!(counted && flushed))) }
    }
    assert!(child > 0, "fork failed");
    let mut status = -1;
    // The alarm ends the test if the child hangs.
    // SAFETY: `alarm` and `waitpid` with a pointer to a live integer.
    let waited = unsafe {
        libc::alarm(60);
        let waited = libc::waitpid(child, &raw mut status, 0);
        libc::alarm(0);
        waited
    };
    assert_eq!(waited, child);
    assert_eq!(status, 0, "the child hung, died or reported");
    assert_eq!(std::fs::read(&log).unwrap(), before);

    // The parent is unaffected.
    usage.record(Attributes::new("lmcache.engine"));
    assert_eq!(usage.flush(Duration::from_secs(20)), Flush::Settled);
    assert!(std::fs::read(&log).unwrap().len() > before.len());
}
