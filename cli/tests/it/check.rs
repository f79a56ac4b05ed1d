//! Tests `otel-usage status --check`: what would go wrong is found and has a hint, and no host is contacted unasked.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use otel_usage_testing::receiver::{Answer, Receiver};
use serde_json::Value;

use crate::shell::Shell;

/// Runs `status --check` and returns the exit code and the findings that are no good news.
fn check(shell: &Shell, options: &str) -> (i32, Vec<Value>) {
    let ran = shell.run(&format!("status --check --json {options}"));
    assert_eq!((ran.out.lines().count(), ran.err.as_str()), (1, ""), "{ran:?}");
    let document: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(document.get("format").unwrap(), 1);
    let findings = document.get("findings").unwrap().as_array().unwrap().clone();
    let count = findings.iter().filter(|one| one["level"] == "problem").count();
    assert_eq!(document.get("problems").unwrap(), count);
    assert_eq!(ran.code, if count == 0 { 0 } else { 7 }, "{document}");
    // A container may have one about its file system.
    let told = |one: &Value| one["level"] != "fine" && one["check"] != "container";
    (ran.code, findings.into_iter().filter(told).collect())
}

fn private(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_check_of_a_sound_place_finds_nothing_and_touches_nothing() {
    let shell = Shell::new();
    assert_eq!(check(&shell, ""), (0, vec![]));
    let ran = shell.run("status --check");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.ends_with("\nnothing would go wrong\n"), "{ran:?}");
    assert_eq!(shell.files(), Vec::<std::path::PathBuf>::new());
    let ran = shell.run("status --network");
    assert_eq!(ran.code, 2, "{ran:?}");
}

#[test]
fn a_check_finds_each_thing_that_would_go_wrong_and_says_what_to_do() {
    let mode = |shell: &Shell, bits: u32| {
        let path = shell.home().join(".config/otel-usage/mode");
        private(&path, "on\n");
        fs::set_permissions(&path, fs::Permissions::from_mode(bits)).unwrap();
    };
    let cutoff = |shell: &Shell, text: &str| {
        private(&shell.home().join(".config/otel-usage/cutoff"), text);
    };
    let spool = |shell: &Shell, bits: u32| {
        let path = shell.home().join(".local/state/otel-usage");
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(bits)).unwrap();
    };
    type Break<'a> = &'a dyn Fn(&Shell);
    let none: Break<'_> = &|_| {};
    type Case<'a> = (&'a [(&'a str, &'a str)], Break<'a>, &'a str, [&'a str; 2]);
    let cases: [Case<'_>; 10] = [
        (
            &[],
            &|shell: &Shell| mode(shell, 0o666),
            "switches",
            ["changed by every user", "chmod go-w"],
        ),
        (
            &[],
            &|shell: &Shell| mode(shell, 0o620),
            "switches",
            ["changed by its group", "chmod go-w"],
        ),
        (
            &[],
            &|shell: &Shell| cutoff(shell, "soon"),
            "last off",
            ["holds no time", "otel-usage off"],
        ),
        (
            &[],
            &|shell: &Shell| cutoff(shell, "4000000000"),
            "last off",
            ["in the future", "otel-usage off"],
        ),
        (
            &[],
            &|shell: &Shell| spool(shell, 0o770),
            "spool",
            ["can be written by others", "chmod go-w"],
        ),
        (
            &[("OTEL_USAGE_SPOOL_DIR", "/dev/null/x")],
            none,
            "spool",
            ["is not a folder", "OTEL_USAGE_SPOOL_DIR"],
        ),
        (
            &[("OTEL_USAGE_SPOOL_DIR", "/dev/null")],
            none,
            "spool",
            ["is not a folder", "OTEL_USAGE_SPOOL_DIR"],
        ),
        (
            &[("OTEL_USAGE_CA_FILE", "/does/not/exist")],
            none,
            "settings",
            ["OTEL_USAGE_CA_FILE", "unset it"],
        ),
        (
            &[("https_proxy", "socks5://proxy:1"), ("http_proxy", "socks5://proxy:1")],
            none,
            "settings",
            ["https_proxy", "off"],
        ),
        (&[("OTEL_USAGE_MODE", "onn")], none, "settings", ["OTEL_USAGE_MODE", "on, local or off"]),
    ];
    for (variables, broken, checked, words) in cases {
        let shell =
            variables.iter().fold(Shell::new(), |shell, (name, value)| shell.with(name, value));
        broken(&shell);
        let (code, findings) = check(&shell, "");
        assert_eq!(code, 7, "{variables:?} {checked}: {findings:?}");
        let found =
            findings.iter().find(|one| one["level"] == "problem" && one["check"] == checked);
        let found = found.unwrap_or_else(|| panic!("{checked}: {findings:?}"));
        if checked == "spool" {
            let problems = findings.iter().filter(|one| one["level"] == "problem");
            assert_eq!(problems.count(), 1, "it is told once: {findings:?}");
        }
        let text = format!("{} {}", found["what"], found["hint"]);
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        let readable = shell.run("status --check");
        assert_eq!(readable.code, 7);
        assert!(readable.out.contains("problem") && readable.out.contains('→'), "{readable:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_check_finds_folders_that_cannot_be_written() {
    let shell = Shell::new();
    for folder in [".config", ".local"] {
        let path = shell.home().join(folder);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o500)).unwrap();
    }
    let Some(ran) = shell.run_as_nobody("status --check --json") else { return };
    let text = ran.out;
    assert!(text.contains("so that `otel-usage off` fails"), "{text}");
    assert!(text.contains("messages wait in memory only"), "{text}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_is_told_by_status_as_by_its_check() {
    for mode in [0o000, 0o500] {
        let shell = Shell::new();
        let spool = shell.home().join(".local/state/otel-usage");
        fs::create_dir_all(&spool).unwrap();
        fs::set_permissions(&spool, fs::Permissions::from_mode(mode)).unwrap();
        let Some(ran) = shell.run_as_nobody("status") else { return };
        let why = format!("{} cannot be written", spool.display());
        let told = format!("messages that cannot be delivered wait in: memory only ({why}");
        assert!(ran.out.contains(&told), "{mode:o}: {ran:?}");
        let ran = shell.run_as_nobody("status --check").unwrap();
        assert!(ran.code == 7 && ran.out.contains(&why), "{mode:o}: {ran:?}");
    }
}

#[test]
fn a_journal_that_cannot_be_kept_is_a_problem_and_receipts_does_not_claim_it() {
    let shell = Shell::new();
    let journal = shell.home().join(".local/state/otel-usage/receipts.jsonl");
    fs::create_dir_all(&journal).unwrap();
    fs::set_permissions(journal.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
    // No journal was asked for.
    assert_eq!(check(&shell, ""), (0, vec![]));
    let ran = shell.run("receipts on");
    assert!(ran.code == 1 && !ran.out.contains("is recorded in"), "{ran:?}");
    assert!(
        ran.err.contains("receipts.jsonl") && ran.err.contains("not a regular file"),
        "{ran:?}"
    );
    let (code, findings) = check(&shell, "");
    assert_eq!((code, findings.len()), (7, 1), "{findings:?}");
    assert_eq!(findings[0]["check"], "journal");
    fs::remove_dir(&journal).unwrap();
    assert_eq!(check(&shell, ""), (0, vec![]));
    assert!(shell.run("status --check").out.contains("journal "));
}

#[test]
fn a_check_notes_what_may_be_meant_and_exits_with_0() {
    for (name, value, checked) in [
        ("OTEL_USAGE_SPOOL_DIR", "none", "spool"),
        ("DO_NOT_TRACK", "1", "consent"),
        ("CI", "true", "consent"),
    ] {
        let (code, findings) = check(&Shell::new().with(name, value), "");
        assert_eq!(code, 0, "{findings:?}");
        assert!(
            findings.iter().any(|one| one["level"] == "note" && one["check"] == checked),
            "{findings:?}"
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_check_finds_limits_of_the_process() {
    #[expect(clippy::disallowed_methods, reason = "a shell sets the limits")]
    let ran = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 32 && ulimit -f 100 && exec \"$0\" status --check --json"])
        .arg(env!("CARGO_BIN_EXE_otel-usage"))
        .env_clear()
        .env("HOME", Shell::new().home())
        .output()
        .unwrap();
    let text = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(ran.status.code(), Some(7), "{text}");
    assert!(text.contains("may open 32 files only") && text.contains("LimitFSIZE"), "{text}");
}

#[test]
fn a_check_contacts_nobody_unless_asked_and_then_sends_no_data() {
    let server = Receiver::start();
    let url = format!("{}/path?token=hunter2", server.url().replace("//", "//user:hunter2@"));
    let shell = Shell::new()
        .with("OTEL_USAGE_EXPORTERS", "server")
        .with("VLLM_USAGE_STATS_SERVER", &url)
        .with("LMCACHE_USAGE_TRACK_URL", &url);
    assert_eq!(check(&shell, ""), (0, vec![]));
    assert!(server.is_silent());
    assert_eq!(check(&shell, "--network"), (0, vec![]));
    let request = server.next();
    assert_eq!((request.method.as_str(), request.path.as_str()), ("HEAD", "/"));
    assert!(request.body.is_empty() && request.header("authorization").is_none());
    assert!(!format!("{request:?}").contains("hunter2"), "{request:?}");
    assert!(server.is_silent(), "one destination is asked once");
}

#[test]
fn a_destination_that_engines_share_is_asked_once_and_one_without_head_is_no_problem() {
    let answer = |status| Receiver::scripted(vec![], Answer::Status(status, ""));
    let (of_vllm, of_lmcache, shared) = (answer(501), answer(405), answer(200));
    let shell = Shell::new()
        .with("OTEL_USAGE_EXPORTERS", "server,otlp")
        .with("VLLM_USAGE_STATS_SERVER", &of_vllm.url())
        .with("LMCACHE_USAGE_TRACK_URL", &of_lmcache.url())
        .with("OTEL_USAGE_OTLP_ENDPOINT", &shared.url());
    assert_eq!(check(&shell, "--network"), (0, vec![]));
    for server in [of_vllm, of_lmcache, shared] {
        let _ = server.next();
        assert!(server.is_silent());
    }
}

#[test]
fn a_check_contacts_nobody_while_collection_is_off_or_local() {
    let server = Receiver::start();
    for (name, value) in [("DO_NOT_TRACK", "1"), ("OTEL_USAGE_MODE", "local"), ("CI", "1")] {
        let shell = Shell::new()
            .with("VLLM_USAGE_STATS_SERVER", &server.url())
            .with("LMCACHE_USAGE_TRACK_URL", &server.url())
            .with(name, value);
        let (code, findings) = check(&shell, "--network");
        assert_eq!(code, 0, "{findings:?}");
        let told =
            |one: &Value| one["what"].as_str().unwrap().starts_with("no connection was opened");
        assert!(findings.iter().any(told), "{findings:?}");
    }
    // One engine's own switch.
    let shell = Shell::new()
        .with("VLLM_USAGE_STATS_SERVER", &server.url())
        .with("VLLM_NO_USAGE_STATS", "1")
        .with("OTEL_USAGE_EXPORTERS", "server")
        .with("LMCACHE_USAGE_TRACK_URL", "http://127.0.0.1:9");
    let (code, _) = check(&shell, "--network");
    assert_eq!(code, 7);
    assert!(server.is_silent());
}

#[test]
fn a_check_of_the_network_says_which_part_of_the_way_fails() {
    let at = |url: &str| {
        Shell::new()
            .with("OTEL_USAGE_EXPORTERS", "server")
            .with("VLLM_USAGE_STATS_SERVER", url)
            .with("LMCACHE_TRACK_USAGE", "false")
    };
    let stage = |shell: &Shell, words: &str, hint: &str| {
        let (code, findings) = check(shell, "--network");
        assert_eq!(code, 7, "{findings:?}");
        let found = findings.iter().find(|one| one["check"] == "network").unwrap();
        let (what, told) = (found["what"].as_str().unwrap(), found["hint"].as_str().unwrap());
        assert!(what.contains(words) && told.contains(hint), "{found}");
    };
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    stage(&at(&format!("http://{closed}")), ": connection: ", "firewalls");
    let plain = Receiver::start();
    stage(&at(&plain.url().replace("http:", "https:")), ": answer: ", "closed the connection");
    let no_tls = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = no_tls.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in no_tls.incoming().flatten() {
            let mut hello = [0; 16];
            let _ = stream.read(&mut hello);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            let _ = stream.read(&mut [0; 4096]);
        }
    });
    stage(&at(&format!("https://{address}")), ": tls: ", "OTEL_USAGE_CA_FILE");
    let away = Receiver::scripted(vec![], Answer::Status(503, ""));
    stage(&at(&away.url()), "answers with 503", "proxy");
    // A proxy is used, and is asked for the other place only.
    let proxy = Receiver::scripted(vec![], Answer::Status(407, ""));
    let shell = at("http://usage.example/x").with("http_proxy", &proxy.url());
    stage(&shell, "through http://127.0.0.1:", "URL of the proxy");
    assert_eq!(proxy.next().path, "http://usage.example/");
    stage(
        &at("https://usage.example").with("https_proxy", &format!("http://{closed}")),
        "through",
        "",
    );
}
