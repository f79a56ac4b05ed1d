//! A usage server as its maintainer starts it, and the commands about its file.

use std::fs;

use otel_usage::Contract;
use otel_usage::schema::{Field, Literal, MessageSpec, Trigger, Type, resource};

use crate::bridge::command;
use crate::serve_process::{PROGRAM, Serve, about, serve, wait};
use crate::shell::Shell;

/// Returns the text of a page, a line for each row of a table.
fn text(page: &str) -> String {
    let mut text = page.replace("</tr>", "\n");
    while let Some((before, rest)) = text.split_once('<') {
        let after = rest.split_once('>').map_or("", |(_, after)| after);
        text = format!("{before} {after}");
    }
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_server_without_arguments_shows_at_once_what_engines_post_today() {
    let home = tempfile::tempdir().unwrap();
    let mut command = command(PROGRAM);
    command.arg("serve").env("HOME", home.path());
    let server = Serve::start_as_it_is(command, home.path());
    // The lines of the start stand below each other, and name addresses that a browser opens.
    let log = server.log();
    let at: Vec<usize> = ["http://", "http://", "http://", "/"]
        .iter()
        .zip(log.lines())
        .map(|(begin, line)| line.find(begin).unwrap())
        .collect();
    assert!(at.iter().all(|column| *column == at[0]), "{log}");
    for part in ["(from this machine only)", "open it in a browser", "VLLM_USAGE_STATS_SERVER="] {
        assert!(log.contains(part), "{part}: {log}");
    }
    let mut client = server.client();
    assert!(text(&server.for_maintainers("/")).contains("No engine has reported yet"));
    let mut posted = 0;
    for (name, path, body) in otel_usage_testing::golden::posts() {
        assert_eq!(client.post(path, &body, ""), Some(200), "{name}");
        posted += 1;
    }
    assert!(posted >= 30, "{posted}");
    // A table of the store follows its messages within a second; no day has to be closed.
    let page = wait("the last message on the page", || {
        let page = text(&server.for_maintainers("/quality"));
        let days = page.lines().filter(|line| line.trim_start().starts_with("20"));
        let received: u32 =
            days.filter_map(|day| day.split_whitespace().nth(1)?.parse::<u32>().ok()).sum();
        (received == posted).then_some(page)
    });
    for row in [
        "received vllm/current report 5",
        "received vllm/0.4.0 report 1",
        "received lmcache/1 EnvMessage 3",
    ] {
        assert!(page.contains(row), "{row}: {page}");
    }
    let page = text(&server.for_maintainers("/"));
    for row in [
        "vllm/current 0.26.1 ",
        "vllm/0.11 ",
        "vllm/0.7 ",
        "vllm/0.4.0 0.3.2+cu123 1 0 0",
        "lmcache/1 ",
        "lmcache/doc – 0 0 2",
    ] {
        assert!(page.lines().any(|line| line.trim_start().starts_with(row)), "{row}: {page}");
    }
    // The public sees nothing of them.
    let public = text(&server.page("/"));
    assert!(
        public.contains("There is nothing to publish yet") && !public.contains("0.26.1"),
        "{public}"
    );
    assert!(home.path().join(".local/state/otel-usage/serve/otel-usage.db").exists());
    assert!(server.terminate().success());
}

#[test]
fn an_own_contract_means_the_same_to_every_command() {
    let mut report =
        MessageSpec::new("report", "mine.report", Trigger::Record).with_header(resource::FIELDS);
    let layers =
        Field::record("layers", Type::Int, "mine.layers", "Layers.").example(Literal::Int(32));
    report.fields.to_mut().push(layers);
    let contract = Contract::new("mine/1", "mine").with_message(report);
    let folder = tempfile::tempdir().unwrap();
    let (file, lines) = (folder.path().join("mine.json"), folder.path().join("lines.jsonl"));
    fs::write(&file, contract.to_json()).unwrap();
    let own = ["--contract-file", file.to_str().unwrap()];
    let body = Shell::new().run(&format!("preview {} --json", own.join(" "))).out;
    fs::write(&lines, &body).unwrap();
    let lines = lines.to_str().unwrap();
    let id: serde_json::Value = serde_json::from_str(&body).unwrap();
    let id = id["instance_id"].as_str().unwrap();
    let mut command = serve(folder.path());
    command.args(own);
    let server = Serve::start_as(command, folder.path());
    assert_eq!(server.client().post("/", &body, ""), Some(200));
    assert!(server.terminate().success());
    let run = |arguments: &[&str], with: bool| {
        let arguments = if with { [arguments, &own].concat() } else { arguments.to_vec() };
        let (done, text) = about(folder.path(), &arguments);
        assert!(done, "{arguments:?}: {text}");
        text
    };
    let sessions = run(&["export"], false);
    assert!(sessions.contains(id) && sessions.contains(",mine,mine/1,"), "{sessions}");
    // A command that does not know the contract says so, and spoils nothing.
    let strange = "1 messages of mine/1, which is not known here: name its --contract-file";
    for (command, known) in
        [("check", "1 batches with 1 messages"), ("rebuild", "made again from 1 messages")]
    {
        for with in [false, true] {
            let text = run(&[command], with);
            assert!(text.contains(known) && text.contains(strange) != with, "{text}");
            assert_eq!(run(&["export"], false), sessions, "{command}");
        }
    }
    // An import without the contract fails and says why.
    let other = folder.path().join("other.db");
    let import = ["import", lines, "--data", other.to_str().unwrap()];
    let (done, text) = about(folder.path(), &import);
    assert!(!done && text.contains("1 lines, 0 messages kept, 1 lines not understood"), "{text}");
    let why = "nothing in it is understood: line 1: no contract knows this message";
    assert!(text.contains(why) && text.contains("--contract-file"), "{text}");
    let imported = run(&import, true);
    assert!(imported.contains("1 lines, 1 messages kept, 0 lines not understood"), "{imported}");
    assert!(run(&import, true).contains("1 files known already"));
    assert!(run(&["forget", id], true).contains("deleted 1 sessions and 1 messages"));
}
