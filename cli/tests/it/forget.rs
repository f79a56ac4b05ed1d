//! Tests `otel-usage forget`: identities are printed first, and then nothing of them is left.

use std::fs;
use std::path::PathBuf;

use otel_usage::schema::{Loss, vllm};
use otel_usage_testing::receiver::Receiver;
use otel_usage_testing::sample;

use crate::sent;
use crate::shell::Shell;
use crate::waiting::{self, Left};

const ID: &str = "f4b6a2c8-9d17-4e57-8a0b-6c1d2e3f4a5b";

/// The session of LMCache in the journal.
const SESSION: &str = "22222222-2222-4222-8222-222222222222";

/// Writes LMCache's file and a journal with one line of each engine. Returns the paths.
fn leave(shell: &Shell) -> [PathBuf; 2] {
    let id = shell.home().join(".config/lmcache/machine_id");
    fs::create_dir_all(id.parent().unwrap()).unwrap();
    fs::write(&id, format!("{ID}\n")).unwrap();
    let journal = shell.home().join(".local/state/otel-usage/receipts.jsonl");
    fs::create_dir_all(journal.parent().unwrap()).unwrap();
    let line = |attempt: u32, contract: &str, identity: &str, body: &str| {
        serde_json::json!({
            "unix_millis": 1, "attempt": attempt.to_string(), "contract": contract, "exporter": "server",
            "message": "report", "destination": "https://stats.example", "identity": identity, "bytes": 2,
            "body": body,
        })
    };
    let mut of_lmcache = line(2, "lmcache/1", "0b", "");
    of_lmcache.as_object_mut().unwrap().insert("instance_id".to_owned(), SESSION.into());
    let lines = [
        line(
            1,
            "vllm/current",
            "0a",
            r#"{"uuid": "11111111-1111-4111-8111-111111111111", "num_cpu": 4}"#,
        ),
        serde_json::json!({"unix_millis": 2, "attempt": "1", "outcome": "delivered", "status": 200}),
        of_lmcache,
        serde_json::json!({"unix_millis": 3, "attempt": "2", "outcome": "failed", "status": null}),
    ];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(&journal, text).unwrap();
    [id, journal]
}

#[test]
fn identities_are_printed_before_everything_is_removed() {
    let left = waiting::left_by_one_that_ended();
    let Left { shell, body, .. } = &left;
    let [id, journal] = leave(shell);
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    let run = body["uuid"].as_str().unwrap();
    let wanted = [ID, run, "11111111-1111-4111-8111-111111111111", SESSION];

    let dry = shell.run("forget --dry-run");
    assert_eq!(dry.code, 0, "{dry:?}");
    assert!(wanted.iter().all(|identity| dry.out.contains(identity)), "{dry:?}");
    // No answer came to LMCache's message, which may have arrived.
    let perhaps =
        format!("session_id  {SESSION}  (lmcache/1, perhaps sent to https://stats.example)");
    assert!(dry.out.contains(&perhaps), "{dry:?}");
    assert!(dry.out.contains("would remove 1 message that waits\n"), "{dry:?}");
    assert!(id.exists() && journal.exists() && waiting::messages(shell).len() == 1);

    let ran = shell.run("forget");
    assert_eq!(ran.code, 0, "{ran:?}");
    let place = |text: &str| ran.out.find(text).unwrap_or_else(|| panic!("{text}: {ran:?}"));
    let removed = place("removed ");
    assert!(wanted.iter().all(|identity| place(identity) < removed), "{ran:?}");
    place("This deletes nothing that was sent.");
    assert!(!id.exists() && !journal.exists());
    assert_eq!(waiting::messages(shell), Vec::<PathBuf>::new());
    let again = shell.run("forget");
    assert!(again.out.starts_with("No identity of this machine"), "{again:?}");
}

#[test]
fn what_a_running_engine_has_in_memory_is_never_sent() {
    let (shell, server) = (Shell::new(), waiting::away_for_an_engine());
    let (usage, _) = waiting::leave_one(&shell, &server);
    let ran = shell.run("forget");
    assert_eq!(ran.code, 0, "{ran:?}");
    otel_usage_testing::settled(&usage);
    assert_eq!(usage.stats().exporters[0].dropped[&Loss::Consent], 1);
    assert!(server.is_silent());
}

#[test]
fn one_engine_is_forgotten_and_the_other_stays() {
    let left = waiting::left_by_one_that_ended();
    let Left { shell, .. } = &left;
    let [id, journal] = leave(shell);
    let ran = shell.run("forget --engine lmcache");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains(ID) && !ran.out.contains("11111111"), "{ran:?}");
    assert!(!id.exists());
    assert_eq!(waiting::messages(shell).len(), 1);
    let sent = |count| {
        let ran = shell.run("sent --json");
        let document: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(
            (&document["damaged"], document["sent"].as_array().unwrap().len()),
            (&0.into(), count)
        );
    };
    let text = fs::read_to_string(&journal).unwrap();
    assert!(text.contains("vllm/current") && !text.contains("lmcache"), "{text}");
    sent(1);
    let ran = shell.run("forget --contract vllm");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(waiting::messages(shell), Vec::<PathBuf>::new());
    let text = fs::read_to_string(&journal).unwrap();
    assert!(!text.contains("vllm") && !text.contains("stats.example"), "{text}");
    sent(0);
    let ran = shell.run("forget --engine lmcahe");
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
    assert!(
        ran.err.contains("no engine `lmcahe` is known here (did you mean `lmcache`?)"),
        "{ran:?}"
    );
}

#[test]
fn a_file_that_cannot_be_removed_is_an_error_after_the_rest() {
    let shell = Shell::new();
    let [id, journal] = leave(&shell);
    fs::remove_file(&id).unwrap();
    fs::create_dir_all(id.join("below")).unwrap();
    let ran = shell.run("forget");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("machine_id cannot be removed"), "{ran:?}");
    assert!(!journal.exists());
}

#[test]
fn identities_are_found_in_compressed_otlp_too() {
    let server = waiting::away_at_first();
    let shell = Shell::new();
    let usage = waiting::otlp_engine(&shell, &server.url());
    usage.record(sample::vllm_report());
    let _ = server.next();
    assert_eq!(usage.flush(otel_usage_testing::PATIENCE), otel_usage::Flush::Durable);
    let ran = shell.run("forget --dry-run");
    assert!(ran.out.contains("service.instance.id"), "{ran:?}");
    usage.withdraw();
}

#[test]
fn without_bodies_the_journal_names_the_identity_that_each_receiver_has() {
    let (shell, server) = (Shell::new(), Receiver::start());
    assert_eq!(shell.run("receipts on").code, 0);
    sent::engine(&shell, &vllm::CURRENT, sample::vllm_report(), &server, sent::TIME);
    let body: serde_json::Value = serde_json::from_slice(&server.next().body).unwrap();
    let run = body["uuid"].as_str().unwrap();
    let to = format!("(vllm/current, sent to http://{}/)", server.address);
    let ran = shell.run("forget --dry-run");
    assert!(ran.out.contains(&format!("  uuid  {run}  {to}\n")), "{ran:?}");
    // The server never had the trace id.
    assert!(!ran.out.contains("trace id"), "{ran:?}");
    let listed = shell.run("sent");
    assert!(listed.out.contains(run), "{listed:?}");

    let journal = shell.home().join(".local/state/otel-usage/receipts.jsonl");
    let text = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, text.replace("\"exporter\":\"server\"", "\"exporter\":\"otlp\"")).unwrap();
    let ran = shell.run("forget --dry-run");
    assert!(ran.out.contains(&format!("  service.instance.id   {run}  {to}\n")), "{ran:?}");
    assert!(ran.out.contains("  trace id (OTLP only)  "), "{ran:?}");
}

#[test]
fn each_thing_that_cannot_be_forgotten_is_named_and_the_rest_is_removed() {
    let left = waiting::left_by_one_that_ended();
    let Left { shell, .. } = &left;
    let [id, journal] = leave(shell);
    fs::remove_file(&id).unwrap();
    fs::create_dir_all(id.join("below")).unwrap();
    fs::remove_file(&journal).unwrap();
    fs::create_dir_all(journal.join("below")).unwrap();
    // The time of this end cannot be noted.
    let own = shell.home().join(".config/otel-usage");
    fs::write(&own, "a file").unwrap();
    let ran = shell.run("forget");
    assert_eq!(ran.code, 1, "{ran:?}");
    for path in [&id, &journal, &own.join("cutoff")] {
        let named =
            |line: &str| line.starts_with("otel-usage: ") && line.contains(path.to_str().unwrap());
        assert!(ran.err.lines().any(named), "{}: {ran:?}", path.display());
    }
    assert_eq!(waiting::messages(shell), Vec::<PathBuf>::new());
    // A folder of messages that cannot be read keeps nothing else.
    fs::remove_dir_all(&own).unwrap_or_else(|_| fs::remove_file(&own).unwrap());
    fs::remove_dir_all(&id).unwrap();
    fs::write(&id, ID).unwrap();
    let closed = Shell::new().with("HOME", shell.home().to_str().unwrap());
    let file = shell.home().join("file");
    fs::write(&file, "").unwrap();
    let ran = closed
        .with("OTEL_USAGE_SPOOL_DIR", file.to_str().unwrap())
        .run("forget --contract lmcache");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains(ID) && !id.exists(), "{ran:?}");
}
