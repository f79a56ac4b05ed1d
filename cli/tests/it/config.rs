//! Tests `otel-usage config check` (settings, mistakes, exit codes) and `status` with a configuration file.

use std::fs;

use serde_json::Value;

use crate::shell::Shell;

const GOOD: &str = "\
file_format: \"1.0\"
tracer_provider:
  processors:
    - batch:
        exporter:
          otlp_http:
            endpoint: http://user:hunter2@localhost:4318/v1/traces
            headers: [{name: authorization, value: \"Bearer ${TOKEN}\"}]
    - simple: {exporter: {usage_file: {path: ~/reports.jsonl}}}
distribution:
  otel_usage: {omit: [platform]}
";

/// Returns a shell with a file in its home, and the file's path.
fn shell(text: &str) -> (Shell, String) {
    let shell = Shell::new().with("TOKEN", "s3cret");
    let path = shell.home().join("usage.yaml");
    fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    (shell, path)
}

#[test]
fn a_good_file_shows_its_pipeline_and_no_secret() {
    let (shell, path) = shell(GOOD);
    let ran = shell.run(&format!("config check {path}"));
    assert_eq!(ran.code, 0, "{}", ran.out);
    let home = shell.home().display();
    for contract in ["vllm/current", "lmcache/1"] {
        let pipeline = format!(
            "{contract}: on (default)\n  file    {home}/reports.jsonl\n  otlp    http://localhost:4318/v1/traces\n"
        );
        assert!(ran.out.contains(&pipeline), "{}", ran.out);
    }
    assert!(ran.out.ends_with(&format!("{path}: nothing is wrong\n")), "{}", ran.out);
    assert!(!ran.out.contains("hunter2") && !ran.out.contains("s3cret"), "{}", ran.out);
    let one = shell.run(&format!("config check {path} --contract lmcache"));
    assert!(!one.out.contains("vllm"), "{}", one.out);
    assert_eq!(shell.files(), [std::path::PathBuf::from(&path)]);
}

#[test]
fn each_mistake_is_one_line_and_the_exit_code_is_1() {
    let text = GOOD
        .replace("endpoint:", "endpiont:")
        .replace("path:", "paht:")
        .replace("omit:", "mode: onn, omit:")
        .replace("platform", "platfrom");
    let (shell, path) = shell(&text);
    // It checks the file even if collection is off.
    for variable in ["A", "DO_NOT_TRACK"] {
        let shell =
            Shell::new().with("HOME", &shell.home().display().to_string()).with(variable, "1");
        let shell = shell.with("TOKEN", "s3cret");
        let ran = shell.run(&format!("config check {path}"));
        assert_eq!(ran.code, 1, "{}", ran.out);
        let places = ["7:13 `endpiont`", "9:40 `paht`", "11:22 `mode`", "11:34 names `platfrom`"];
        for place in places {
            assert!(ran.out.contains(&format!("\n{path}:{place}")), "{place}: {}", ran.out);
        }
        assert!(ran.out.ends_with(&format!("{path}: 4 mistakes\n")), "{}", ran.out);
    }
}

#[test]
fn a_header_without_its_credential_is_a_mistake() {
    let (shell, path) = shell(GOOD);
    let shell = Shell::new().with("HOME", &shell.home().display().to_string());
    for unset in [shell.run(&format!("config check {path}")), {
        shell.with("TOKEN", "").with("OTEL_USAGE_CONFIG", &path).run("status")
    }] {
        let about: Vec<_> = unset.out.lines().filter(|line| line.contains("TOKEN")).collect();
        let [line] = about[..] else { panic!("{}", unset.out) };
        assert!(line.contains(":8:52 `value` needs the variable TOKEN, which is not set; set it"));
        assert!(!unset.out.contains("  otlp "), "{}", unset.out);
    }
}

#[test]
fn a_missing_file_and_invalid_yaml_are_mistakes() {
    let (shell, path) = shell("file_format: [\n");
    let ran = shell.run(&format!("config check {path}"));
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains(&format!("\n{path}:2:1 is not valid YAML here")), "{}", ran.out);
    let ran = shell.run("config check /nowhere.yaml");
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("/nowhere.yaml cannot be read"), "{}", ran.out);
    assert!(ran.out.contains("vllm/current: off"), "{}", ran.out);
}

#[test]
fn status_follows_the_file_and_names_it() {
    let (shell, path) = shell(&GOOD.replace("omit", "mode: local, omit"));
    let shell = shell.with("OTEL_USAGE_CONFIG", &path);
    let ran = shell.run("status");
    assert_eq!(ran.code, 3, "{}", ran.out);
    assert!(
        ran.out.contains(&format!("vllm/current: local (configuration file {path}:11:22: mode)")),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("  otlp    not while collection is local\n"), "{}", ran.out);
    assert!(ran.out.contains(&format!("configuration file: {path}\n")), "{}", ran.out);
    let json: Value = serde_json::from_str(&shell.run("status --json").out).unwrap();
    assert_eq!(json["config_file"], path.as_str());
    assert_eq!(
        json["contracts"][0]["exporters"][0]["destination"],
        format!("{}/reports.jsonl", shell.home().display())
    );
}
