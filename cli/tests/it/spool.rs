//! Tests `otel-usage spool`: what waits is shown, deleted and sent as this user's settings allow.

use std::fs;

use otel_usage::clock::Clock;
use otel_usage::schema::{Loss, vllm};
use otel_usage_testing::receiver::{Answer, Receiver};
use otel_usage_testing::settled;
use serde_json::Value;

use crate::shell::Shell;
use crate::waiting::{self, Left};

fn ls(shell: &Shell) -> Vec<Value> {
    let ran = shell.run("spool ls --json");
    assert_eq!((ran.code, ran.out.lines().count()), (0, 1), "{ran:?}");
    let document: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(document.get("format").unwrap(), 1);
    let folder = waiting::folder(shell).display().to_string();
    assert_eq!(document.get("folder").unwrap(), folder.as_str());
    document.get("messages").unwrap().as_array().unwrap().clone()
}

#[test]
fn a_list_says_what_becomes_of_each_message() {
    let shell = Shell::new();
    assert_eq!(ls(&shell), Vec::<Value>::new());
    assert!(shell.run("spool ls").out.starts_with("no message waits in "));
    let left = waiting::left_by_one_that_ended();
    let Left { shell, server, .. } = &left;
    let row = &ls(shell)[0];
    assert_eq!(row["contract"], "vllm/current");
    assert_eq!((&row["owner"], &row["owner_runs"]), (&Value::Null, &Value::Bool(false)));
    assert_eq!(row["sends_to"], server.url());
    assert_eq!(row["destination"].as_str().unwrap().len(), 64);
    assert!(row["bytes"].as_u64().unwrap() > 500 && row["age"].as_i64().unwrap() < 600);
    let why = |variables: &[(&str, &str)]| {
        let home = shell.home().display().to_string();
        let other = Shell::new().with("HOME", &home);
        let other = variables.iter().fold(other, |other, (name, value)| other.with(name, value));
        let ran = other.run("spool ls");
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.out
    };
    let url = server.url();
    for (variables, words) in [
        (&[("VLLM_USAGE_STATS_SERVER", url.as_str())][..], "the next engine sends it to"),
        (&[], "for another destination"),
        (&[("VLLM_USAGE_STATS_SERVER", &url), ("DO_NOT_TRACK", "1")], "while collection is off"),
        (&[("VLLM_USAGE_STATS_SERVER", &url), ("CI", "1")], "while collection is local"),
    ] {
        let out = why(variables).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(out.contains(words), "{variables:?}: {out}");
        assert!(out.contains("vllm/current 1 ") && out.contains(" ended "), "{out}");
    }
    // One that runs, and one that is damaged.
    let (running, _) =
        waiting::leave_one(shell, &Receiver::scripted(vec![], Answer::Status(503, "")));
    fs::write(&waiting::messages(shell)[0], "torn").unwrap();
    let rows = ls(shell);
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().any(|row| row["owner"] == std::process::id()), "{rows:?}");
    let damaged =
        |row: &Value| row["contract"].is_null() && row["why"] == "not sent: it is damaged";
    assert!(rows.iter().any(damaged), "{rows:?}");
    running.withdraw();
}

#[test]
fn a_list_says_what_is_never_sent() {
    let why = |left: &Left| ls(&left.shell)[0]["why"].as_str().unwrap().to_owned();
    // In 2001.
    let late = waiting::left_of(&vllm::CURRENT, Clock::fixed(1_000_000_000_000_000_000));
    assert_eq!(why(&late), "never sent: it is too late for it");
    let mut foreign = vllm::CURRENT.clone();
    foreign.id = "vllm/own".into();
    let foreign = waiting::left_of(&foreign, Clock::system());
    assert!(why(&foreign).starts_with("not sent: its contract is not known here"));
    let left = waiting::left_by_one_that_ended();
    let own = left.shell.mode_file().parent().unwrap().to_owned();
    fs::create_dir_all(&own).unwrap();
    for (cutoff, words) in [
        ("4000000000", "not sent: the time of the last off cannot be read or lies in the future"),
        ("soon", "not sent: the time of the last off cannot be read"),
        ("1000", "the next engine sends it"),
    ] {
        fs::write(own.join("cutoff"), cutoff).unwrap();
        assert!(why(&left).starts_with(words), "{cutoff}: {}", why(&left));
    }
}

#[test]
fn a_purge_deletes_all_or_one_contract_and_says_what() {
    let left = waiting::left_by_one_that_ended();
    let Left { shell, .. } = &left;
    let ran = shell.run("spool purge --contract lmcache");
    assert_eq!((ran.code, waiting::messages(shell).len()), (0, 1), "{ran:?}");
    assert!(ran.out.starts_with("no message waits"), "{ran:?}");
    let ran = shell.run("spool purge --contract vllm");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.starts_with("deleted 1 message that waited in "), "{ran:?}");
    assert!(ran.out.ends_with("\n  vllm/current: 1\n"), "{ran:?}");
    assert_eq!(fs::read_dir(waiting::folder(shell)).unwrap().count(), 0);
    // The mode stays.
    assert!(!shell.mode_file().exists());
    assert_eq!(shell.run("status").code, 0);
}

#[test]
fn a_purge_also_reaches_what_a_running_engine_has_in_memory() {
    let (shell, server) = (Shell::new(), waiting::away_for_an_engine());
    let (usage, _) = waiting::leave_one(&shell, &server);
    let ran = shell.run("spool purge");
    assert!(ran.out.contains("1 of them of running engines"), "{ran:?}");
    settled(&usage);
    assert_eq!(usage.stats().exporters[0].dropped[&Loss::Consent], 1);
    assert!(server.is_silent());
}

#[test]
fn a_flush_sends_the_same_bytes_and_says_what_is_left() {
    let left = waiting::left_by_one_that_ended();
    let Left { shell, server, body, .. } = &left;
    // It stays away.
    let ran = shell.run("spool flush --timeout 20");
    assert_eq!(ran.code, 7, "{ran:?}");
    assert!(ran.out.contains("left in ") && ran.out.contains("did not take it"), "{ran:?}");
    assert_eq!(&server.next().body, body);
    // It is back.
    let ran = shell.run("spool flush");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("vllm/current server: 1 delivered\n"), "{ran:?}");
    assert!(ran.out.contains("nothing is left"), "{ran:?}");
    assert_eq!(&server.next().body, body);
    assert!(server.is_silent());
    assert_eq!(fs::read_dir(waiting::folder(shell)).unwrap().count(), 0);
}

#[test]
fn a_flush_refuses_while_collection_is_off_or_local() {
    let left = waiting::left_by_one_that_ended();
    let Left { shell, server, .. } = &left;
    let home = shell.home().display().to_string();
    for (name, value, code, word) in [
        ("DO_NOT_TRACK", "1", 4, "off"),
        ("OTEL_USAGE_MODE", "local", 3, "local"),
        ("VLLM_NO_USAGE_STATS", "1", 4, "off"),
    ] {
        let other = Shell::new().with("HOME", &home).with(name, value);
        let ran = other.with("VLLM_USAGE_STATS_SERVER", &server.url()).run("spool flush");
        assert_eq!(ran.code, code, "{ran:?}");
        let words =
            format!("nothing is sent, because collection is {word}: environment variable {name}");
        assert!(ran.out.starts_with(&words), "{ran:?}");
        assert_eq!(waiting::messages(shell).len(), 1);
    }
    // With another destination there is nothing to send.
    let ran = Shell::new()
        .with("HOME", &home)
        .with("VLLM_USAGE_STATS_SERVER", "http://127.0.0.1:9")
        .run("spool flush");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("for another destination"), "{ran:?}");
    assert!(server.is_silent());
}

#[test]
fn a_flush_leaves_to_a_running_engine_what_is_its_own() {
    let server = waiting::away_for_an_engine();
    let shell = Shell::new().with("VLLM_USAGE_STATS_SERVER", &server.url());
    let (usage, _) = waiting::leave_one(&shell, &server);
    let ran = shell.run("spool flush");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("1: its engine still runs, and sends it"), "{ran:?}");
    assert!(server.is_silent());
    usage.withdraw();
}

#[test]
fn what_waits_is_deleted_also_if_the_time_of_it_cannot_be_noted() {
    for line in ["spool purge", "off"] {
        let left = waiting::left_by_one_that_ended();
        let Left { shell, .. } = &left;
        let own = shell.home().join(".config/otel-usage");
        fs::create_dir_all(own.parent().unwrap()).unwrap();
        fs::write(&own, "a file").unwrap();
        let ran = shell.run(line);
        assert_eq!(ran.code, 1, "{line}: {ran:?}");
        assert!(ran.err.contains("cutoff cannot be written"), "{line}: {ran:?}");
        assert_eq!(line == "off", ran.err.contains("mode cannot be written"), "{ran:?}");
        assert!(ran.out.contains("deleted 1 message"), "{line}: {ran:?}");
        assert!(waiting::messages(shell).is_empty(), "{line}");
    }
}

#[test]
fn a_folder_that_is_not_used_is_explained() {
    for line in ["spool ls", "spool flush", "spool purge"] {
        let ran = Shell::new().with("OTEL_USAGE_SPOOL_DIR", "rel/dir").run(line);
        assert!(ran.out.contains("OTEL_USAGE_SPOOL_DIR is `rel/dir`"), "{line}: {ran:?}");
    }
}
