//! Tests `otel-usage contract`, and the names by which every subcommand takes a contract.

use std::fs;
use std::path::PathBuf;

use otel_usage::Contract;
use otel_usage::schema::{
    Attribute, Field, Literal, MessageSpec, OffWhen, Trigger, Type, resource, vllm,
};

use crate::shell::Shell;

fn with_example(name: &'static str, attribute: &'static str, value: i64) -> Field {
    Field::record(name, Type::Int, attribute, "A number.").example(Literal::Int(value))
}

fn mine() -> Contract {
    let mut report = MessageSpec::new("report", "mine.report", Trigger::Record)
        .with_header(resource::FIELDS)
        .at("v1/report");
    report.fields.to_mut().push(with_example("layers", "mine.layers", 32));
    Contract::new("mine/1", "mine")
        .with_server("http://127.0.0.1:9")
        .with_switch("MINE_NO_USAGE", OffWhen::Present)
        .with_message(report)
}

fn written(shell: &Shell, name: &str, contract: &Contract) -> PathBuf {
    let path = shell.home().join(name);
    fs::write(&path, contract.to_json()).unwrap();
    path
}

fn folder(shell: &Shell) -> PathBuf {
    shell.home().join(".local/share/otel-usage/contracts")
}

#[test]
fn an_added_contract_is_known_to_every_command_until_it_is_removed() {
    let shell = Shell::new();
    let file = written(&shell, "mine.json", &mine());
    for line in ["preview --contract mine/1", "status --contract mine"] {
        let ran = shell.run(line);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains("otel-usage contract add FILE"), "{}", ran.err);
    }
    let added = shell.run(&format!("contract add {}", file.display()));
    assert_eq!(added.code, 0, "{}", added.err);
    assert!(added.out.starts_with("added mine/1 of mine: message report\n"), "{}", added.out);
    assert!(folder(&shell).join("mine-1.json").is_file());

    let ran = shell.run("preview");
    for said in ["stats.vllm.ai", "stats.lmcache.ai", "POST http://127.0.0.1:9/v1/report  report"] {
        assert!(ran.out.contains(said), "{said}: {}", ran.out);
    }
    for line in ["status", "status --contract mine", "status --contract mine/1"] {
        assert!(shell.run(line).out.contains("mine/1: on (default)\n"), "{line}");
    }
    let off = Shell::new().with("MINE_NO_USAGE", "");
    off.run(&format!("contract add {}", file.display()));
    assert!(off.run("status").out.contains("mine/1: off (environment variable MINE_NO_USAGE)"));
    for line in ["schema --contract mine", "schema diff mine mine/1", "contract ls"] {
        let ran = shell.run(line);
        assert_eq!((ran.code, ran.out.contains("mine/1")), (0, true), "{line}: {ran:?}");
    }
    let listed = shell.run("contract ls --json").json_lines();
    let mine = listed[0]["contracts"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(mine["engine"], "mine");
    assert_eq!(mine["file"], folder(&shell).join("mine-1.json").to_str().unwrap());

    assert!(
        shell.run(&format!("contract add {}", file.display())).out.starts_with("replaced mine/1")
    );
    assert_eq!(shell.run("contract remove mine/1").code, 0);
    assert!(!shell.run("preview").out.contains("127.0.0.1"));
    let ran = shell.run("contract remove vllm");
    assert!(ran.code == 1 && ran.err.contains("is built in"), "{ran:?}");
    let again = shell.run("contract remove mine/1");
    assert_eq!(again.code, 1);
    assert!(again.err.contains("no contract file holds mine/1"), "{}", again.err);
}

#[test]
fn contracts_of_packages_are_known_and_belong_to_their_package() {
    let data = tempfile::tempdir().unwrap();
    let shell = Shell::new().with("XDG_DATA_DIRS", &format!("relative:{}", data.path().display()));
    let folder = data.path().join("otel-usage/contracts");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("mine.json"), mine().to_json()).unwrap();
    assert!(shell.run("status").out.contains("mine/1: on"));
    let ran = shell.run("contract remove mine/1");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("belongs to a package"), "{}", ran.err);

    // The user's own file comes first.
    let other = mine().with_server("http://127.0.0.1:7");
    let file = written(&shell, "other.json", &other);
    shell.run(&format!("contract add {}", file.display()));
    let out = shell.run("status").out;
    assert!(out.contains("http://127.0.0.1:7") && !out.contains("http://127.0.0.1:9"), "{out}");
}

#[test]
fn what_is_no_contract_is_refused_with_the_mistake() {
    let shell = Shell::new();
    let good = mine().to_json();
    for (text, words) in [
        (String::new(), "EOF"),
        ("{}".to_owned(), "format"),
        (good.replacen("\"trigger\"", "\"triger\"", 1), "triger"),
        (good.replacen("mine/1", "mine 1", 1), "white space"),
        (" ".repeat((4 << 20) + 1), "longer"),
        ("\u{0}\u{1}".to_owned(), "line 1"),
    ] {
        let path = shell.home().join("bad.json");
        fs::write(&path, text).unwrap();
        for command in ["add", "check"] {
            let ran = shell.run(&format!("contract {command} {}", path.display()));
            assert_eq!(ran.code, 1, "{words}: {ran:?}");
            assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
            assert!(ran.err.contains(words) && ran.err.contains("bad.json"), "{}", ran.err);
        }
    }
    assert!(!folder(&shell).exists());
    let ran = shell.run("contract add /no/such");
    assert!(ran.code == 1 && ran.err.contains("/no/such cannot be read"), "{ran:?}");
}

#[cfg(unix)]
#[test]
fn a_file_that_cannot_count_is_one_warning_and_blocks_nothing() {
    let shell = Shell::new();
    fs::create_dir_all(folder(&shell)).unwrap();
    fs::write(folder(&shell).join("bad.json"), "{").unwrap();
    fs::write(folder(&shell).join("good.json"), mine().to_json()).unwrap();
    fs::write(folder(&shell).join("notes.txt"), "no contract").unwrap();
    fs::create_dir(folder(&shell).join("folder.json")).unwrap();
    let pipe = folder(&shell).join("pipe.json");
    #[expect(clippy::disallowed_methods, reason = "a test makes a pipe")]
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let root =
        fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    let foreign = folder(&shell).join("foreign.json");
    fs::write(&foreign, mine().to_json().replace("mine/1", "theirs/1")).unwrap();
    if root {
        std::os::unix::fs::chown(&foreign, Some(4242), None).unwrap();
    }
    for line in ["status", "preview", "contract ls"] {
        let ran = shell.run(line);
        assert_eq!(ran.code, 0, "{ran:?}");
        for name in ["bad.json", "folder.json", "pipe.json"] {
            let about = ran.err.lines().filter(|line| line.contains(name));
            assert_eq!(about.count(), 1, "{line} {name}: {}", ran.err);
        }
        assert!(!ran.err.contains("notes.txt"), "{}", ran.err);
        if root {
            assert!(ran.err.contains("belongs to another user") && !ran.out.contains("theirs/1"));
        }
    }
    assert!(shell.run("status").out.contains("mine/1: on"));
}

#[test]
fn a_misspelt_name_is_one_error_that_guesses() {
    let shell = Shell::new();
    for line in [
        "preview --contract vlm",
        "status --contract vlm",
        "schema --contract vlm",
        "config check /dev/null --contract vlm",
    ] {
        let ran = shell.run(line);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(
            ran.err.starts_with("error: no contract `vlm` is known here (did you mean `vllm`?)"),
            "{}",
            ran.err
        );
        assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    }
    let ran = shell.run("schema diff vlm vllm");
    assert!(ran.code == 1 && ran.err.contains("did you mean `vllm`?)"), "{ran:?}");
}

#[test]
fn a_name_means_the_same_for_every_command() {
    let shell = Shell::new();
    for name in ["vllm", "vllm/current", "vllm/0.4.0", "lmcache/legacy", "lmcache-mp"] {
        for command in ["preview --json", "status --json", "schema --format collector"] {
            let ran = shell.run(&format!("{command} --contract {name}"));
            assert_eq!(ran.code, 0, "{command} {name}: {}", ran.err);
        }
    }
    for command in [
        "status --contract vllm --contract lmcache",
        "preview --contract vllm --contract lmcache/1",
    ] {
        let ran = shell.run(command);
        assert!(
            ran.out.contains("stats.vllm.ai") && ran.out.contains("stats.lmcache.ai"),
            "{ran:?}"
        );
    }
    assert_eq!(shell.run("schema diff vllm vllm/current").code, 0);
    let ran = shell.run("schema diff vllm lmcache");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("compare two contracts of one engine"), "{}", ran.err);
}

#[test]
fn several_contracts_of_one_engine_are_told_apart() {
    let shell = Shell::new();
    for id in ["mine/1", "mine/2"] {
        let mut contract = mine();
        contract.id = id.into();
        let file = written(&shell, "one.json", &contract);
        assert_eq!(shell.run(&format!("contract add {}", file.display())).code, 0);
    }
    let ran = shell.run("status --contract mine");
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("name one of mine/1, mine/2"), "{}", ran.err);
    assert_eq!(shell.run("status --contract mine/2").code, 0);
}

#[test]
fn an_added_contract_replaces_the_built_in_one_of_its_id() {
    let shell = Shell::new();
    let more = vllm::CURRENT.clone().with_field("report", with_example("extra", "mine.extra", 7));
    let file = written(&shell, "vllm.json", &more);
    let ran = shell.run(&format!("contract add {}", file.display()));
    assert!(ran.out.contains("in the place of the built-in contract"), "{ran:?}");
    for line in [
        "preview --json",
        "preview --json --contract vllm",
        "preview --json --contract vllm/current",
    ] {
        assert!(shell.run(line).out.contains("\"extra\": 7"), "{line}");
    }
    assert_eq!(shell.run("status").out.matches("vllm/current: ").count(), 1);
    assert_eq!(shell.run("contract remove vllm").out.lines().next(), Some("removed vllm/current"));
    assert!(!shell.run("preview --json").out.contains("extra"));
}

#[test]
fn a_contract_file_shows_examples_of_resource_attributes_and_heartbeats() {
    let shell = Shell::new();
    let tier = Attribute::new("mine.tier", Type::Str, "The tier.").example(Literal::text("gold"));
    let mut beat = MessageSpec::new("beat", "mine.beat", Trigger::Heartbeat { seconds: 60 });
    beat.fields.to_mut().push(with_example("load", "mine.load", 5));
    let mut contract = mine().with_attribute(tier).with_message(beat);
    let from_resource = Field::resource("tier", Type::Str, "mine.tier", "The tier.");
    contract = contract.with_field("report", from_resource);
    let file = written(&shell, "mine.json", &contract);
    let ran = shell.run(&format!("preview --contract-file {} --json", file.display()));
    let lines = ran.json_lines();
    assert_eq!((&lines[0]["tier"], &lines[0]["layers"]), (&"gold".into(), &32.into()), "{ran:?}");
    assert_eq!(lines[1]["load"], 5, "{ran:?}");
    assert!(!ran.err.contains("sample engine"), "{}", ran.err);
    assert!(ran.err.contains("mine/1: engine values are the examples in its contract"));
}

#[test]
fn a_contract_without_payloads_says_so() {
    let shell = Shell::new();
    let waits = MessageSpec::new("hello", "mine.hello", Trigger::Start);
    for (contract, why) in [
        (Contract::new("mine/1", "mine"), "its contract has no messages"),
        (Contract::new("mine/1", "mine").with_message(waits), "its contract has none"),
    ] {
        let file = written(&shell, "mine.json", &contract);
        for form in ["", "--json", "--otlp", "--explain"] {
            let ran = shell.run(&format!("preview --contract-file {} {form}", file.display()));
            assert_eq!(ran.code, 0, "{ran:?}");
            assert!(
                ran.err.contains("mine/1: nothing to show") && ran.err.contains(why),
                "{ran:?}"
            );
            assert!(!ran.err.contains("sample engine"), "{}", ran.err);
        }
    }
}

#[test]
fn every_command_of_the_notice_works() {
    let shell = Shell::new();
    for line in [
        "preview",
        "preview --contract vllm/current",
        "preview --contract lmcache/1",
        "status",
        "off",
    ] {
        assert!([0, 4].contains(&shell.run(line).code), "{line}");
    }
}
