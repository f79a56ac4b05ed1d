//! Tests `otel-usage receipts` and `otel-usage sent`: the journal of what left, from real engines.

use std::fs;
use std::path::PathBuf;

use otel_usage::clock::Clock;
use otel_usage::schema::{Contract, lmcache, vllm};
use otel_usage::settings::Env;
use otel_usage::{Usage, UsageRecord};
use otel_usage_testing::receiver::{Answer, Receiver};
use otel_usage_testing::{sample, settled, to_test_runner};
use serde_json::Value;

use crate::shell::Shell;

/// 2026-11-28T08:00:00Z
pub(crate) const TIME: i64 = 1_795_852_800_000_000_000;
const MINUTE: i64 = 60_000_000_000;

/// Runs an engine in the home of `shell`, at a fixed time.
pub(crate) fn engine(
    shell: &Shell,
    contract: &Contract,
    record: impl UsageRecord,
    server: &Receiver,
    at: i64,
) {
    let home = shell.home().to_str().unwrap();
    let url = format!("http://user:hunter2@{}/?token=hunter2", server.address);
    let environment = Env::given([
        ("HOME", home),
        ("OTEL_USAGE_MODE", "on"),
        ("OTEL_USAGE_EXPORTERS", "server"),
        ("OTEL_USAGE_SPOOL_DIR", "none"),
        ("VLLM_USAGE_STATS_SERVER", &url),
        ("LMCACHE_USAGE_TRACK_URL", &url),
    ]);
    let usage = Usage::builder(contract)
        .with_sample_data()
        .with_environment(environment)
        .with_clock(Clock::fixed(at))
        .on_notice(to_test_runner)
        .try_init()
        .unwrap();
    usage.record(record);
    settled(&usage);
}

fn journal(shell: &Shell) -> PathBuf {
    shell.home().join(".local/state/otel-usage/receipts.jsonl")
}

fn sent(shell: &Shell, options: &str) -> Vec<Value> {
    let ran = shell.run(&format!("sent --json {options}"));
    assert_eq!((ran.code, ran.out.lines().count()), (0, 1), "{ran:?}");
    let document: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(document.get("format").unwrap(), 1);
    document.get("sent").unwrap().as_array().unwrap().clone()
}

/// Returns a home with a journal with bodies: vLLM's message refused, then LMCache's three delivered.
fn with_journal() -> Shell {
    let shell = Shell::new();
    assert_eq!(shell.run("receipts bodies").code, 0);
    let server = Receiver::scripted(vec![Answer::Status(404, "")], Answer::Status(200, ""));
    engine(&shell, &vllm::CURRENT, sample::vllm_report(), &server, TIME);
    engine(&shell, &lmcache::V1, sample::lmcache_engine(), &server, TIME + 5 * MINUTE);
    shell
}

#[test]
fn without_a_journal_the_command_says_how_to_start_one() {
    let shell = Shell::new();
    for line in ["sent", "sent --json", "sent --body"] {
        let ran = shell.run(line);
        assert_eq!((ran.code, ran.err.lines().count()), (0, 1), "{ran:?}");
        for part in ["no journal", "otel-usage receipts on", "OTEL_USAGE_RECEIPTS=on"] {
            assert!(ran.err.contains(part), "{}", ran.err);
        }
    }
    assert_eq!(sent(&shell, ""), [] as [Value; 0]);
    assert_eq!(shell.files(), Vec::<PathBuf>::new());
    let asked = Shell::new().with("OTEL_USAGE_RECEIPTS", "on").run("sent");
    assert!(asked.err.contains("nothing was sent yet"), "{asked:?}");
}

#[test]
fn what_left_is_listed_newest_first_by_engine_and_time() {
    let shell = with_journal();
    let all = sent(&shell, "");
    let messages = |sent: &[Value]| -> Vec<String> {
        sent.iter().map(|one| one["message"].as_str().unwrap().to_owned()).collect()
    };
    let start = vllm::CURRENT.messages[0].name.as_ref();
    let of_lmcache = ["MetadataMessage", "EngineMessage", "EnvMessage"];
    assert_eq!(messages(&all), [&of_lmcache[..], &[start]].concat());
    let first = &all[3];
    assert_eq!((&first["outcome"], &first["status"]), (&"refused".into(), &404.into()));
    assert_eq!(first["time"], "2026-11-28T08:00:00Z");
    assert_eq!(first["unix_millis"], TIME / 1_000_000);
    assert_eq!(
        (&first["contract"], &first["exporter"]),
        (&"vllm/current".into(), &"server".into())
    );
    assert_eq!(first["identity"].as_str().unwrap().len(), 32);
    assert!(first.get("body").is_none());
    assert_eq!((&all[0]["outcome"], &all[0]["status"]), (&"delivered".into(), &200.into()));

    assert_eq!(messages(&sent(&shell, "--contract vllm")), [start]);
    assert_eq!(messages(&sent(&shell, "--contract lmcache/1")), of_lmcache);
    assert_eq!(messages(&sent(&shell, "--since 2026-11-28T08:03:00Z")), of_lmcache);
    assert_eq!(sent(&shell, "--since 2026-11-28").len(), 4);
    assert_eq!(sent(&shell, "--since 2026-11-28T08:03:00Z --contract vllm").len(), 0);
    let wrong = shell.run("sent --since soon");
    assert!(wrong.code == 2 && wrong.err.contains("90m, 7d"), "{wrong:?}");
}

#[test]
fn the_list_for_people_is_aligned_and_bodies_are_those_that_left() {
    let shell = with_journal();
    let ran = shell.run("sent");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 5, "{}", ran.out);
    let place = |line: &str, word: &str| line.find(word).unwrap();
    let destination = place(lines[0], "destination");
    let outcome = place(lines[0], "outcome");
    for line in &lines[1..] {
        assert!(line.starts_with("2026-11-28T08:0"), "{line}");
        assert_eq!(place(line, "http://127.0.0.1:"), destination, "{line}");
        assert!(line[outcome..].starts_with("delivered (200)") != line.contains("refused (404)"));
    }
    let coloured = shell.run("sent --color always").out;
    assert!(coloured.contains("\u{1b}[") && !ran.out.contains('\u{1b}'));

    let bodies = shell.run("sent --body --contract vllm").out;
    let text = bodies.lines().last().unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(text).unwrap()["model_architecture"],
        "LlamaForCausalLM"
    );
    assert!(bodies.contains("\nidentity "), "{bodies}");
    let body = sent(&shell, "--body --contract vllm")[0]["body"].clone();
    assert_eq!(body.as_str(), Some(text));
    assert!(
        !format!("{}{bodies}", fs::read_to_string(journal(&shell)).unwrap()).contains("hunter2")
    );
}

#[test]
fn damage_is_counted_and_an_attempt_without_an_outcome_is_shown_as_such() {
    let shell = with_journal();
    let text = fs::read_to_string(journal(&shell)).unwrap();
    // The process died after its first line.
    let begin = text.lines().next().unwrap().replace("\"attempt\":\"", "\"attempt\":\"x");
    fs::write(journal(&shell), format!("{text}{{\"torn\n\u{1b}[31m\n{begin}\n")).unwrap();
    let ran = shell.run("sent");
    assert_eq!(ran.code, 0);
    assert!(ran.err.contains("2 lines are damaged and left out"), "{}", ran.err);
    let newest = ran.out.lines().nth(1).unwrap();
    assert!(newest.ends_with("no answer is recorded"), "{}", ran.out);
    let all = sent(&shell, "");
    assert_eq!(
        (all.len(), &all[0]["outcome"], &all[0]["status"]),
        (5, &"unknown".into(), &Value::Null)
    );
}

#[test]
fn the_command_writes_the_mode_that_engines_use_and_names_what_overrules_it() {
    let shell = Shell::new();
    let file = shell.home().join(".config/otel-usage/receipts");
    for mode in ["on", "bodies", "off"] {
        let ran = shell.run(&format!("receipts {mode}"));
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.out.starts_with(&format!("wrote `{mode}` to ")), "{}", ran.out);
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("{mode}\n"));
        let document: Value = serde_json::from_str(&shell.run("sent --json").out).unwrap();
        assert_eq!(document["receipts"], mode);
    }
    let overruled = Shell::new().with("OTEL_USAGE_RECEIPTS", "off").run("receipts on");
    assert_eq!(overruled.code, 7, "{overruled:?}");
    let reason = "stays off, because of: environment variable OTEL_USAGE_RECEIPTS";
    assert!(overruled.out.contains(reason), "{}", overruled.out);
    let closed = Shell::new();
    fs::write(closed.home().join(".config"), "a file").unwrap();
    let ran = closed.run("receipts on");
    assert!(ran.code == 1 && ran.err.contains("OTEL_USAGE_RECEIPTS=on"), "{ran:?}");
    assert_eq!(shell.run("receipts").code, 2);
}

#[test]
fn a_journal_that_is_off_now_is_still_shown() {
    let shell = with_journal();
    assert_eq!(shell.run("receipts off").code, 0);
    let ran = shell.run("sent");
    assert_eq!(ran.out.lines().count(), 5, "{}", ran.out);
    assert!(ran.err.contains("the journal is off now"), "{}", ran.err);
    // A process that is off still lets its operator look.
    let off = shell.with("DO_NOT_TRACK", "1").run("sent");
    assert_eq!(off.out, ran.out);
}
