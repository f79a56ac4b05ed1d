//! Files that an operator names, below a network mount whose server is gone.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use otel_usage::schema::vllm;
use otel_usage::{Flush, Usage};
use otel_usage_testing::{PATIENCE, dead_mount, sample, turns, until};

/// Runs [`child`] with files of `variables` in a dead folder, and returns what it prints.
fn engine(variables: &[(&str, &str)]) -> Option<String> {
    let (home, dead) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let home_path = home.path().to_str().unwrap().to_owned();
    let mut all = vec![("OTEL_USAGE_MODE", "on".to_owned()), ("HOME", home_path)];
    for (name, value) in variables {
        all.push((name, value.replace("DEAD", dead.path().to_str().unwrap())));
    }
    let all: Vec<_> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
    run("dead_mount::child", &dead, &all)
}

/// Runs an ignored test of this program as a process for which `dead` does not answer.
fn run(test: &str, dead: &tempfile::TempDir, all: &[(&str, &str)]) -> Option<String> {
    let program = std::env::current_exe().unwrap();
    let args = ["--exact", test, "--ignored", "--nocapture"];
    let output = dead_mount::run(dead.path(), &program, &args, all)?;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}\n{out}{err}", output.status);
    Some(out)
}

/// Runs in a child process: one record by the environment of the process.
#[test]
#[ignore = "a child process of the tests below"]
fn child() {
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&warnings);
    let (usage, waited) = turns(|| {
        Usage::builder(&vllm::CURRENT)
            .on_notice(move |level, text| {
                if level == tracing::Level::WARN {
                    heard.lock().unwrap().push(text.to_owned());
                }
            })
            .init()
    });
    usage.record(sample::vllm_report());
    assert_eq!(usage.flush(PATIENCE), Flush::Settled);
    let exporters: Vec<_> =
        usage.stats().exporters.iter().map(|one| (one.name.clone(), one.delivered)).collect();
    // A read is waited for during a hundred turns.
    let how = if waited < 50 { "not" } else { "a moment" };
    assert!(waited < 400, "init waited {waited} turns");
    println!("init waited {how}; exporters {exporters:?}");
    for warning in warnings.lock().unwrap().iter() {
        println!("warning: {warning}");
    }
}

#[test]
fn a_configuration_that_does_not_answer_turns_collection_off_within_seconds() {
    let Some(out) = engine(&[("OTEL_USAGE_CONFIG", "DEAD/usage.yaml")]) else { return };
    assert!(out.contains("; exporters []"), "{out}");
    assert_eq!(out.matches("warning: ").count(), 1, "{out}");
    assert!(out.contains("usage.yaml cannot be read: the file does not answer"), "{out}");
}

#[test]
fn certificates_that_do_not_answer_cost_their_exporter_only_and_init_does_not_read_them() {
    let Some(out) = engine(&[
        ("OTEL_USAGE_EXPORTERS", "file,otlp,server"),
        ("OTEL_USAGE_OTLP_ENDPOINT", "https://localhost:1"),
        ("OTEL_USAGE_OTLP_CERTIFICATE", "DEAD/otlp.pem"),
        ("OTEL_USAGE_CA_FILE", "DEAD/authority.pem"),
        ("VLLM_USAGE_STATS_SERVER", "https://localhost:1"),
    ]) else {
        return;
    };
    assert!(out.contains(r#"init waited not; exporters [("file", 1)]"#), "{out}");
    assert_eq!(out.matches("warning: ").count(), 2, "{out}");
    assert!(out.contains("otlp.pem: the file does not answer"), "{out}");
    assert!(out.contains("authority.pem: an earlier read still hangs"), "{out}");
}

/// Runs in a child process, whose server is away.
#[test]
#[ignore = "a child process of the test below"]
fn child_whose_spool_hangs() {
    let usage = Usage::builder(&vllm::CURRENT).on_notice(|_, _| {}).init();
    usage.record(sample::vllm_report());
    // The worker looks at the folder first, for a second.
    let flushes: Vec<_> = (0..20).map(|_| usage.flush(Duration::from_millis(200))).collect();
    assert_eq!(flushes.last(), Some(&Flush::Memory(1)));
    assert!(!flushes.contains(&Flush::Durable));
    // It may be on its way once more.
    until(|| usage.stats().exporters.last().is_some_and(|server| server.queued == 1));
    let stats = usage.stats();
    usage.finish();
    usage.withdraw();
    let accounts = stats.exporters.iter().map(|one| (&one.name, one.delivered, one.queued));
    println!("exporters {:?}", accounts.collect::<Vec<_>>());
}

#[test]
fn a_disk_that_hangs_holds_up_no_call_of_the_engine() {
    let (home, dead) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let spool = dead.path().join("spool");
    let variables = [
        ("OTEL_USAGE_MODE", "on"),
        ("HOME", home.path().to_str().unwrap()),
        ("OTEL_USAGE_SPOOL_DIR", spool.to_str().unwrap()),
        ("OTEL_USAGE_EXPORTERS", "file,server"),
        ("VLLM_USAGE_STATS_SERVER", "http://127.0.0.1:1"),
    ];
    let Some(out) = run("dead_mount::child_whose_spool_hangs", &dead, &variables) else { return };
    assert!(out.contains(r#"exporters [("file", 1, 0), ("server", 0, 1)]"#), "{out}");
}
