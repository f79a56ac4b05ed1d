//! Checks that a forked child, which has no worker thread, neither reports nor hangs.
//!
//! It is a test program of its own because `fork` copies one thread of the process and leaves the locks
//! of the others as they are.

#![cfg(unix)]
#![allow(
    unsafe_code,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "the test forks, and fails by panicking"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use otel_usage::schema::Loss;
use otel_usage::schema::{lmcache, vllm};
use otel_usage::settings::Env;
use otel_usage::{Attributes, Consent, Flush, Usage};
use otel_usage_testing::PATIENCE;
use tracing_subscriber::prelude::*;

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
    assert_eq!(usage.flush(PATIENCE), Flush::Settled);
    let before = std::fs::read(&log).unwrap();

    // SAFETY: the child only records, drops and leaves by `_exit`; the C library keeps its allocator
    // usable in a forked child.
    let child = unsafe { libc::fork() };
    if child == 0 {
        usage.record(Attributes::new("lmcache.engine"));
        let counted = usage.stats().lost.get(&Loss::Forked) == Some(&1);
        let flushed = usage.flush(PATIENCE) == Flush::Settled;
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
        libc::alarm(600);
        let waited = libc::waitpid(child, &raw mut status, 0);
        libc::alarm(0);
        waited
    };
    assert_eq!(waited, child);
    assert_eq!(status, 0, "the child hung, died or reported");
    assert_eq!(std::fs::read(&log).unwrap(), before);

    // The parent is unaffected.
    usage.record(Attributes::new("lmcache.engine"));
    assert_eq!(usage.flush(PATIENCE), Flush::Settled);
    assert!(std::fs::read(&log).unwrap().len() > before.len());
}

/// Forks, runs `child` there, and fails if it hangs, dies or returns `false`.
fn in_fork(child: impl FnOnce() -> bool) {
    // SAFETY: the child runs what the test says and leaves by `_exit`; the C library keeps its allocator
    // usable in a forked child.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: the alarm ends a child that hangs.
        unsafe { libc::alarm(600) };
        let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
        // SAFETY: ends the child without running the parent's exit handlers.
        unsafe { libc::_exit(i32::from(!passed.unwrap_or(false))) }
    }
    assert!(pid > 0, "fork failed");
    let mut status = -1;
    // SAFETY: `waitpid` with a pointer to a live integer.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(status, 0, "the child hung, died or failed");
}

fn local(home: &tempfile::TempDir) -> Usage {
    Usage::builder(&lmcache::V1)
        .with_sample_data()
        .with_environment(Env::given([
            ("HOME", home.path().to_str().unwrap()),
            ("OTEL_USAGE_MODE", "local"),
        ]))
        .with_exporters([])
        .try_init()
        .unwrap()
}

/// Ends the threads of a test, also when it fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn no_call_in_a_child_waits_for_a_lock_that_another_thread_held() {
    let home = tempfile::tempdir().unwrap();
    let usage = local(&home);
    let off = Usage::builder(&lmcache::V1).with_consent(Consent::Off).init();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = usage.series(lmcache::usage::L2_ADAPTER, "fs");
                let _ = usage.counter(lmcache::usage::TOKENS_HIT);
            }
        });
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = usage.counter("no.such.counter");
            }
        });
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = off.preview(Attributes::new("lmcache.engine"));
            }
        });
        let stop = Stop(&stop);
        for _ in 0..100 {
            in_fork(|| {
                let _ = usage.series(lmcache::usage::L2_ADAPTER, "fs");
                let _ = usage.series(lmcache::usage::L2_ADAPTER, "new");
                let _ = usage.counter(lmcache::usage::TOKENS_HIT);
                let _ = usage.gauge(lmcache::usage::TOKENS_HIT);
                let _ = usage.histogram(lmcache::usage::TOKENS_HIT);
                let _ = usage.counter("no.such.counter");
                let _ = off.preview(Attributes::new("lmcache.engine"));
                usage.set_heartbeat(Attributes::new(""));
                true
            });
        }
        drop(stop);
    });
}

/// Starts an engine whose messages wait on disk, because no server listens at its address.
fn waiting(home: &tempfile::TempDir, server: &str) -> Usage {
    Usage::builder(&vllm::CURRENT)
        .with_sample_data()
        .with_environment(Env::given([
            ("HOME", home.path().to_str().unwrap()),
            ("OTEL_USAGE_MODE", "on"),
            ("OTEL_USAGE_EXPORTERS", "server"),
            ("VLLM_USAGE_STATS_SERVER", server),
        ]))
        .on_notice(|_, _| {})
        .try_init()
        .unwrap()
}

/// The worker and callers hold, one after another, the locks of the queue, the accounts, the outbox, the notice
/// and the table of the spool, while this thread forks.
#[test]
fn a_child_that_is_forked_while_the_worker_saves_waits_for_nothing_and_may_begin_its_own_run() {
    let home = tempfile::tempdir().unwrap();
    let server = std::net::TcpListener::bind("127.0.0.84:0").unwrap().local_addr().unwrap();
    let server = format!("http://{server}");
    let usage = waiting(&home, &server);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    usage.record(vllm::Report::default());
                    let _ = usage.flush(Duration::from_millis(2));
                    let _ = usage.stats();
                }
            });
        }
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // Its worker takes and gives back the lock of its files.
                let other = waiting(&home, &server);
                other.record(vllm::Report::default());
                let _ = other.flush(Duration::from_millis(200));
                other.withdraw();
            }
        });
        let stop = Stop(&stop);
        for _ in 0..100 {
            in_fork(|| {
                usage.record(vllm::Report::default());
                usage.set_heartbeat(Attributes::new(""));
                let flushed = usage.flush(PATIENCE) == Flush::Settled;
                usage.withdraw();
                usage.finish();
                let counted = usage.stats().lost.get(&Loss::Forked) >= Some(&1);
                let own = waiting(&home, &server);
                own.record(vllm::Report::default());
                // Where it waits depends on which lock the parent held.
                let waits = own.flush(Duration::from_millis(100)) != Flush::Settled;
                counted && flushed && waits
            });
        }
        drop(stop);
    });
    usage.withdraw();
}

#[test]
fn a_child_is_not_enabled_and_counts_what_it_loses() {
    let home = tempfile::tempdir().unwrap();
    let usage = local(&home);
    let counter = usage.counter(lmcache::usage::TOKENS_HIT);
    in_fork(|| {
        usage.record(Attributes::new("lmcache.engine"));
        counter.add(1);
        let subscriber = tracing_subscriber::registry().with(usage.layer());
        drop(subscriber);
        usage.stats().lost.get(&Loss::Forked) == Some(&1)
            && !usage.is_enabled()
            && usage.layer::<tracing_subscriber::Registry>().is_none()
    });
    assert!(usage.is_enabled());
    // A child may begin a run of its own, and its children are told apart from it.
    in_fork(|| {
        let own = local(&home);
        in_fork(|| !own.is_enabled() && !usage.is_enabled());
        own.is_enabled() && !usage.is_enabled()
    });
}

#[test]
fn a_span_exporter_in_a_child_counts_what_it_loses() {
    let home = tempfile::tempdir().unwrap();
    let exporter = Usage::builder(&lmcache::V1)
        .with_sample_data()
        .with_environment(Env::given([("OTEL_USAGE_MODE", "local")]))
        .with_exporters([])
        .span_exporter()
        .unwrap();
    let span = local(&home).preview(Attributes::new("lmcache.engine"))[0].span();
    in_fork(|| {
        otel_usage_testing::export(&exporter, vec![span]);
        !exporter.is_enabled() && exporter.stats().lost.get(&Loss::Forked) == Some(&1)
    });
    assert!(exporter.is_enabled());
}

/// Linux itself marks a child that the C library does not know.
#[cfg(target_os = "linux")]
#[test]
fn a_child_made_without_the_c_library_is_a_child() {
    let home = tempfile::tempdir().unwrap();
    let usage = local(&home);
    // SAFETY: the child only asks, and leaves.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    if pid == 0 {
        // SAFETY: ends the child without running the parent's exit handlers.
        unsafe { libc::_exit(i32::from(usage.is_enabled())) }
    }
    let mut status = -1;
    // SAFETY: `waitpid` with a pointer to a live integer.
    unsafe { libc::waitpid(i32::try_from(pid).unwrap(), &raw mut status, 0) };
    assert_eq!(status, 0);
    assert!(usage.is_enabled());
}

/// A container's first process and the first process of a namespace below it have the same number.
#[cfg(target_os = "linux")]
#[test]
fn a_child_with_the_number_of_its_parent_is_a_child() {
    let Ok(status) = std::process::Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "below_a_first_process", "--ignored", "--test-threads=1"])
        .status()
    else {
        return;
    };
    // `unshare` itself fails with 1 where namespaces are not allowed.
    assert!(status.success() || status.code() == Some(1), "{status}");
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "runs as the first process of a namespace"]
fn below_a_first_process() {
    assert_eq!(std::process::id(), 1);
    let home = tempfile::tempdir().unwrap();
    let usage = local(&home);
    usage.record(Attributes::new("lmcache.engine"));
    // SAFETY: from now on, children of this process begin a namespace.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWPID) }, 0);
    in_fork(|| {
        usage.record(Attributes::new("lmcache.engine"));
        std::process::id() == 1
            && !usage.is_enabled()
            && usage.stats().lost.get(&Loss::Forked) == Some(&1)
            && usage.flush(PATIENCE) == Flush::Settled
    });
}
