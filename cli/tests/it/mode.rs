//! Tests `otel-usage on|local|off`: the mode file, and the switches that overrule it.

use std::fs;
#[cfg(unix)]
use std::path::PathBuf;

#[cfg(unix)]
use otel_usage::schema::vllm;
#[cfg(unix)]
use otel_usage::{Attributes, Flush};
#[cfg(unix)]
use otel_usage_testing::{PATIENCE, settled};

use crate::shell::Shell;
#[cfg(unix)]
use crate::waiting;

#[test]
fn each_mode_command_writes_the_mode_that_status_shows() {
    let shell = Shell::new();
    for (mode, status) in [("off", 4), ("local", 3), ("on", 0), ("off", 4)] {
        let ran = shell.run(mode);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.out.starts_with(&format!("wrote `{mode}` to ")), "{}", ran.out);
        assert_eq!(fs::read_to_string(shell.mode_file()).unwrap(), format!("{mode}\n"));
        assert_eq!(shell.run("status").code, status, "{mode}");
    }
    // The file, that of the last `off`, and their two directories: no temporary file is left.
    assert_eq!(shell.files().len(), 4, "{:?}", shell.files());
}

#[test]
fn a_stricter_switch_wins_and_is_named() {
    for (variable, value, asked, stays, code) in [
        ("DO_NOT_TRACK", "1", "on", "stays off", 4),
        ("DO_NOT_TRACK", "1", "local", "stays off", 4),
        ("OTEL_USAGE_MODE", "local", "on", "stays local", 3),
        ("CI", "true", "on", "stays local", 3),
    ] {
        let shell = Shell::new().with(variable, value);
        let ran = shell.run(asked);
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.out.contains(stays) && ran.out.contains(variable), "{}", ran.out);
        assert_eq!(fs::read_to_string(shell.mode_file()).unwrap().trim(), asked);
        assert_eq!(shell.run("status").code, code);
    }
    // One engine's own switch concerns that engine only.
    let ran = Shell::new().with("VLLM_NO_USAGE_STATS", "1").run("on");
    assert_eq!(ran.code, 0);
    assert!(ran.out.contains("vllm/current: stays off, because of: environment variable VLLM_NO_USAGE_STATS\nlmcache/1: on\n"), "{}", ran.out);
}

#[test]
fn a_word_that_overrules_the_mode_and_is_none_is_explained() {
    let ran = Shell::new().with("OTEL_USAGE_MODE", "ture").run("on");
    assert_eq!(ran.code, 4);
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    assert!(ran.err.contains("OTEL_USAGE_MODE is `ture`, which is no mode"), "{}", ran.err);
}

#[test]
fn a_damaged_mode_file_means_off_until_a_command_rewrites_it() {
    let shell = Shell::new();
    fs::create_dir_all(shell.mode_file().parent().unwrap()).unwrap();
    for damage in ["", "onn", "on off", "\0\0\0\0", "on\n\nlocal"] {
        fs::write(shell.mode_file(), damage).unwrap();
        let ran = shell.run("status");
        assert_eq!(ran.code, 4, "{damage:?}");
        assert!(
            ran.out.contains("is damaged; write `on`, `local` or `off` into it"),
            "{}",
            ran.out
        );
    }
    assert_eq!(shell.run("on").code, 0);
    assert_eq!(shell.run("status").code, 0);
}

#[test]
fn an_unwritable_home_is_an_error_with_a_remedy() {
    let shell = Shell::new();
    fs::write(shell.home().join(".config"), "a file").unwrap();
    // An `off` cannot note its time either.
    for (mode, remedy, lines) in
        [("off", "DO_NOT_TRACK=1", 2), ("local", "OTEL_USAGE_MODE=local", 1)]
    {
        let ran = shell.run(mode);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.out.is_empty());
        assert_eq!(ran.err.lines().count(), lines, "{}", ran.err);
        assert!(ran.err.starts_with("otel-usage: ") && ran.err.contains(remedy), "{}", ran.err);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_error_names_the_file_and_no_temporary_one() {
    let shell = Shell::new();
    let own = shell.mode_file().parent().unwrap().to_owned();
    fs::create_dir_all(&own).unwrap();
    fs::set_permissions(&own, std::os::unix::fs::PermissionsExt::from_mode(0o500)).unwrap();
    let Some(ran) = shell.run_as_nobody("local") else { return };
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.err.contains("mode cannot be written") && !ran.err.contains("otel-usage/.tmp"),
        "{ran:?}"
    );
}

#[cfg(unix)]
#[test]
fn off_deletes_what_waits_also_of_a_running_engine_and_it_is_never_sent() {
    let server = waiting::away_at_first();
    let shell = Shell::new();
    let (usage, older) = waiting::leave_one(&shell, &server);
    assert_eq!(waiting::messages(&shell).len(), 1);
    let ran = shell.run("off");
    assert_eq!(ran.code, 0, "{ran:?}");
    let told = format!(
        "deleted 1 message that waited in {}, 1 of them of running engines\n",
        waiting::folder(&shell).display()
    );
    assert!(ran.out.contains(&told), "{}", ran.out);
    assert_eq!(waiting::messages(&shell), Vec::<PathBuf>::new());
    // The engine does not see the mode in between.
    assert_eq!(shell.run("on").code, 0);
    server.come_back();
    usage.record(Attributes::new(vllm::HEARTBEAT));
    settled(&usage);
    assert_ne!(server.next().body, older);
    assert!(server.is_silent());
    assert_eq!(usage.flush(PATIENCE), Flush::Settled);
}

#[cfg(unix)]
#[test]
fn what_a_power_cut_brings_back_after_an_off_is_never_sent() {
    let server = waiting::away_at_first();
    let shell = Shell::new();
    let (usage, older) = waiting::leave_one(&shell, &server);
    let [file] = waiting::messages(&shell).try_into().unwrap();
    let bytes = fs::read(&file).unwrap();
    assert_eq!(shell.run("off").code, 0);
    usage.withdraw();
    drop(usage);
    fs::create_dir_all(waiting::folder(&shell)).unwrap();
    fs::write(&file, bytes).unwrap();
    assert_eq!(shell.run("on").code, 0);
    server.come_back();
    let next = waiting::engine(&shell, &server.url());
    next.record(Attributes::new(vllm::HEARTBEAT));
    settled(&next);
    assert_ne!(server.next().body, older);
    assert!(server.is_silent());
    assert_eq!(waiting::messages(&shell), Vec::<PathBuf>::new());
}
