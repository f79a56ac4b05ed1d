//! Tests `otel-usage status`: the decision and settings on this machine, as text, JSON and exit code.

use serde_json::{Value, json};

use crate::shell::Shell;

fn document(shell: &Shell, line: &str) -> Value {
    let ran = shell.run(line);
    assert_eq!(ran.out.lines().count(), 1);
    serde_json::from_str(&ran.out).unwrap()
}

#[test]
fn the_exit_code_is_that_of_the_most_permissive_contract() {
    for (variables, code) in [
        (&[][..], 0),
        (&[("VLLM_NO_USAGE_STATS", "1")], 0),
        (&[("CI", "1")], 3),
        (&[("OTEL_USAGE_MODE", "local"), ("VLLM_DO_NOT_TRACK", "1")], 3),
        (&[("DO_NOT_TRACK", "")], 4),
        (&[("VLLM_NO_USAGE_STATS", ""), ("LMCACHE_TRACK_USAGE", "false")], 4),
        (&[("OTEL_USAGE_MODE", "onn")], 4),
    ] {
        let shell =
            variables.iter().fold(Shell::new(), |shell, (name, value)| shell.with(name, value));
        for form in ["", "--json"] {
            let ran = shell.run(&format!("status {form}"));
            assert_eq!(ran.code, code, "{variables:?}: {}", ran.out);
        }
    }
    let one = Shell::new().with("VLLM_NO_USAGE_STATS", "1");
    assert_eq!(one.run("status --contract vllm").code, 4);
    assert_eq!(one.run("status --contract lmcache/doc").code, 0);
}

#[test]
fn json_is_one_stable_document() {
    let shell = Shell::new();
    let home = shell.home().display();
    assert_eq!(
        document(&shell, "status --json"),
        json!({
            "format": 1,
            "collection": "on",
            "mode_file": format!("{home}/.config/otel-usage/mode"),
            "config_file": null,
            "spool": format!("{home}/.local/state/otel-usage"),
            "require_tls": null,
            "receipts": "off",
            "memory_only": null,
            "contracts": [
                {
                    "contract": "vllm/current",
                    "collection": "on",
                    "because": "default",
                    "exporters": [
                        {
                            "name": "file",
                            "runs": true,
                            "destination": format!("{home}/.config/vllm/usage_stats.json"),
                            "cleartext": false,
                        },
                        {
                            "name": "server",
                            "runs": true,
                            "destination": "https://stats.vllm.ai",
                            "cleartext": false,
                        },
                    ],
                    "warnings": [],
                    "notes": [],
                },
                {
                    "contract": "lmcache/1",
                    "collection": "on",
                    "because": "default",
                    "exporters": [
                        {
                            "name": "server",
                            "runs": true,
                            "destination": "http://stats.lmcache.ai:8080",
                            "cleartext": true,
                        },
                    ],
                    "warnings": [],
                    "notes": [],
                },
            ],
        })
    );
    assert_eq!(shell.files(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn status_names_switch_destinations_and_cleartext() {
    let shell = Shell::new()
        .with("OTEL_USAGE_EXPORTERS", "server,otlp,file,console")
        .with("OTEL_USAGE_OTLP_ENDPOINT", "http://user:hunter2@localhost:4318");
    let out = shell.run("status").out;
    for line in [
        "vllm/current: on (default)".to_owned(),
        "  server  https://stats.vllm.ai".to_owned(),
        "  server  http://stats.lmcache.ai:8080 (cleartext)".to_owned(),
        "  otlp    http://localhost:4318/v1/traces".to_owned(),
        format!("  file    {}/.config/vllm/usage_stats.json", shell.home().display()),
        "  console standard error of the engine".to_owned(),
    ] {
        assert!(out.lines().any(|one| one == line), "{line:?} is not in\n{out}");
    }
    assert!(!out.contains("hunter2"));
}

#[test]
fn status_of_local_shows_no_network_and_of_off_no_exporter() {
    let local = Shell::new().with("OTEL_USAGE_MODE", "local");
    let out = local.run("status --contract vllm").out;
    assert!(out.contains("local (environment variable OTEL_USAGE_MODE)"), "{out}");
    assert!(out.contains("  server  not while collection is local\n"), "{out}");
    let runs = |shell: &Shell| -> Vec<bool> {
        let document = document(shell, "status --contract vllm --json");
        let exporters = document["contracts"][0]["exporters"].as_array().unwrap().clone();
        exporters.iter().map(|one| one["runs"].as_bool().unwrap()).collect()
    };
    assert_eq!(runs(&local), [true, false]);
    let off = Shell::new().with("DO_NOT_TRACK", "0");
    assert_eq!(runs(&off), [false, false]);
    let out = off.run("status").out;
    assert!(out.contains("vllm/current: off (environment variable DO_NOT_TRACK)\n"), "{out}");
    assert!(!out.contains("stats.vllm.ai"), "{out}");
}

#[test]
fn each_mistake_is_a_warning_that_names_the_variable() {
    for (variables, named) in [
        (&[("VLLM_USAGE_STATS_SERVER", "usage.example:80")][..], "VLLM_USAGE_STATS_SERVER"),
        (&[("LMCACHE_USAGE_TRACK_URL", "ftp://usage.example")], "LMCACHE_USAGE_TRACK_URL"),
        (&[("OTEL_USAGE_EXPORTERS", "sever")], "OTEL_USAGE_EXPORTERS"),
        (&[("OTEL_USAGE_EXPORTERS", "otlp")], "OTEL_USAGE_OTLP_ENDPOINT"),
        (
            &[
                ("OTEL_USAGE_EXPORTERS", "otlp"),
                ("OTEL_USAGE_OTLP_ENDPOINT", "http://localhost:4318"),
                ("OTEL_USAGE_OTLP_CERTIFICATE", "/does/not/exist"),
            ],
            "OTEL_USAGE_OTLP_CERTIFICATE",
        ),
    ] {
        let shell =
            variables.iter().fold(Shell::new(), |shell, (name, value)| shell.with(name, value));
        let ran = shell.run("status");
        let warnings: Vec<&str> =
            ran.out.lines().filter(|line| line.starts_with("warning: ")).collect();
        let [warning] = warnings[..] else { panic!("{variables:?}: {}", ran.out) };
        assert!(warning.contains(named), "{warning}");
        let document = document(&shell, "status --json");
        let contracts = document["contracts"].as_array().unwrap();
        assert!(contracts.iter().any(|one| !one["warnings"].as_array().unwrap().is_empty()));
    }
}

#[test]
fn credentials_never_appear() {
    let secrets = [
        ("VLLM_USAGE_STATS_SERVER", "http://user:hunter2@usage.example/base?token=hunter2"),
        ("LMCACHE_USAGE_TRACK_URL", "user:hunter2@usage.example"),
        ("OTEL_USAGE_EXPORTERS", "server,otlp,file"),
        ("OTEL_USAGE_OTLP_ENDPOINT", "https://user:hunter2@otlp.example"),
        ("OTEL_USAGE_OTLP_HEADERS", "authorization=hunter2"),
        ("https_proxy", "http://user:hunter2@proxy.example"),
    ];
    for mode in ["on", "local", "off"] {
        let shell = secrets
            .iter()
            .fold(Shell::new().with("OTEL_USAGE_MODE", mode), |shell, (name, value)| {
                shell.with(name, value)
            });
        for line in [
            "status",
            "status --json",
            "on",
            "preview --contract vllm",
            "preview --contract vllm --json",
            "preview --contract vllm --otlp",
            "preview --contract lmcache",
        ] {
            let ran = shell.run(line);
            assert!(!format!("{ran:?}").contains("hunter2"), "{line}: {ran:?}");
        }
    }
    let shell = Shell::new().with("VLLM_USAGE_STATS_SERVER", secrets[0].1);
    let out = shell.run("status --contract vllm").out;
    assert!(out.contains("  server  http://usage.example/base (cleartext)\n"), "{out}");
}

#[cfg(target_os = "linux")]
#[test]
fn switches_on_a_dead_mount_are_one_error_within_seconds() {
    let dead = tempfile::tempdir().unwrap();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_otel-usage"));
    let home = [("HOME", dead.path().to_str().unwrap())];
    let ran = otel_usage_testing::dead_mount::run(dead.path(), program, &["status"], &home);
    // `None`: this user may make no mount.
    let Some(ran) = ran else { return };
    let text = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{text}");
    assert!(text.contains("did not answer within 8 s: check the mounts"), "{text}");
}

/// Returns the lines of `status` that tell of a mistake or of what may not be meant.
fn told(shell: &Shell) -> Vec<String> {
    let out = shell.run("status").out;
    let told =
        out.lines().filter(|line| line.starts_with("warning: ") || line.starts_with("note: "));
    told.map(str::to_owned).collect()
}

#[test]
fn wrong_input_is_one_line_that_names_the_thing_and_the_remedy() {
    let otlp = ("OTEL_USAGE_EXPORTERS", "otlp");
    for (variables, words) in [
        (
            &[("OTEL_USAGE_MODE", "locla")][..],
            ["OTEL_USAGE_MODE is `locla`", "(did you mean `local`?)"],
        ),
        (&[("OTEL_USAGE_MODE", "yes")], ["OTEL_USAGE_MODE", "use on, local or off"]),
        (&[("OTEL_USAGE_EXPORTERS", " , ,")], ["OTEL_USAGE_EXPORTERS names no exporter", "none"]),
        (&[("OTEL_USAGE_EXPORTERS", "fiel")], ["OTEL_USAGE_EXPORTERS", "(did you mean `file`?)"]),
        (
            &[otlp, ("OTEL_USAGE_OTLP_ENDPOINT", "http://c:4317")],
            ["OTEL_USAGE_OTLP_ENDPOINT", "4318"],
        ),
        (
            &[otlp, ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317")],
            ["OTEL_EXPORTER_OTLP_ENDPOINT", "4318"],
        ),
        (&[("OTEL_USAGE_FILE", "/dev/null/x.jsonl")], ["/dev/null/x.jsonl", "OTEL_USAGE_FILE"]),
        (&[("OTEL_USAGE_FILE", "/tmp")], ["not a regular file", "OTEL_USAGE_FILE"]),
        (
            &[("OTEL_USAGE_EXPORTER", "file")],
            ["OTEL_USAGE_EXPORTER is no variable", "OTEL_USAGE_EXPORTERS"],
        ),
        (
            &[("OTEL_USAGE_OTLP_ENDPOINT", "http://c:4318")],
            ["OTEL_USAGE_OTLP_ENDPOINT has no effect", "OTEL_USAGE_EXPORTERS"],
        ),
        (
            &[("OTEL_USAGE_EXPORTERS", "server"), ("OTEL_USAGE_FILE", "/tmp/x")],
            ["OTEL_USAGE_FILE has no effect", "OTEL_USAGE_EXPORTERS"],
        ),
        (&[("HOME", ""), ("OTEL_USAGE_EXPORTERS", "none")], ["HOME is empty", "set HOME"]),
        (
            &[("HOME", "here"), ("OTEL_USAGE_EXPORTERS", "none")],
            ["HOME is no absolute path", "set HOME"],
        ),
    ] {
        let shell =
            variables.iter().fold(Shell::new(), |shell, (name, value)| shell.with(name, value));
        let told = told(&shell);
        assert_eq!(told.len(), 1, "{variables:?}: {told:?}");
        assert!(words.iter().all(|word| told[0].contains(word)), "{variables:?}: {told:?}");
    }
    assert_eq!(told(&Shell::new()), Vec::<String>::new());
}

#[cfg(unix)]
#[test]
fn a_folder_that_this_user_cannot_write_is_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let shell = Shell::new();
    let folder = shell.home().join("closed");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o500)).unwrap();
    if std::fs::write(folder.join("probe"), "").is_ok() {
        // The administrator may write everywhere.
        return;
    }
    let file = folder.join("deep/usage.jsonl");
    let told = told(&shell.with("OTEL_USAGE_FILE", file.to_str().unwrap()));
    assert!(told.len() == 1 && told[0].contains("Permission denied"), "{told:?}");
}
