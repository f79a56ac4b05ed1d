//! Runs a row of the consent table: a temporary home, an empty environment, one child process.

pub(crate) mod rows;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use tempfile::TempDir;

use rows::{ENGINES, Given, Row};

/// The signal of a seccomp filter, with the same number on every supported architecture.
const SIGSYS: i32 = 31;

/// The user id of `nobody`, which permissions restrict, unlike root.
const NOBODY: u32 = 65_534;

/// Time limit of a run. A run takes milliseconds, or five seconds if it waits for a server.
const LONGEST_RUN: Duration = Duration::from_secs(600);

/// How a run must end.
#[derive(Clone, Copy)]
pub(crate) enum Expect {
    /// The filter kills it before it prints anything.
    Killed,
    /// It prints `local`, nothing on stderr, and its file is written.
    Local,
    /// It prints `off`, nothing on stderr, and the home is unchanged.
    Silent,
    /// As `Silent`, but each line on stderr is a warning that names the switch.
    Warned,
}

/// Runs `rows` under the whole filter.
pub(crate) fn check(rows: &[Row], theirs: Expect, others: Expect) {
    play(&[], rows, theirs, others, None);
}

/// Runs `rows` under the part of the filter that `option` names.
pub(crate) fn check_with(option: &str, rows: &[Row], theirs: Expect, others: Expect) {
    play(&[option], rows, theirs, others, None);
}

/// Does the same as [`check`] as a user that permissions restrict.
pub(crate) fn check_locked(rows: &[Row], theirs: Expect, others: Expect) {
    let user = fs::metadata(tempfile::tempdir().unwrap().path()).unwrap().uid();
    if user != 0 {
        return play(&[], rows, theirs, others, None);
    }
    // The user may have no access to the folder of the program.
    let mut command = Command::new(env!("CARGO_BIN_EXE_optout"));
    match command.uid(NOBODY).gid(NOBODY).output() {
        Ok(_) => play(&[], rows, theirs, others, Some(NOBODY)),
        Err(error) => eprintln!(
            "skipped: root may read everything, and the run as user `nobody` failed: {error}"
        ),
    }
}

fn play(options: &[&str], rows: &[Row], theirs: Expect, others: Expect, user: Option<u32>) {
    let mut wrong = Vec::new();
    for row in rows {
        for engine in ENGINES {
            let expect = if row.engines.contain(engine) { theirs } else { others };
            let home = Home::new(row.given, user);
            let mut command = home.command(env!("CARGO_BIN_EXE_optout"), row.given);
            command.arg(engine).args(options).args(row.words());
            let before = home.tree();
            let output = ended(&mut command);
            if let Err(what) = verdict(expect, engine, row.because, &home, &before, &output) {
                wrong.push(format!("{engine} with {}: {what}", row.shown()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} runs went wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn verdict(
    expect: Expect,
    engine: &str,
    because: &str,
    home: &Home,
    before: &Tree,
    output: &Output,
) -> Result<(), String> {
    let out = String::from_utf8_lossy(&output.stdout);
    let ended = format!("{}, stdout {out:?}, stderr {:?}", output.status, lossy(&output.stderr));
    match expect {
        Expect::Killed => {
            let killed = output.status.signal() == Some(SIGSYS) && out.is_empty();
            killed.then_some(()).ok_or_else(|| format!("not killed by the filter: {ended}"))
        }
        Expect::Local | Expect::Silent | Expect::Warned => {
            let said = if matches!(expect, Expect::Local) {
                "alive consent=local"
            } else {
                "silent consent=off"
            };
            if !output.status.success() || !out.starts_with(&format!("{said} because ")) {
                return Err(format!("not `{said}`: {ended}"));
            }
            let errors = lossy(&output.stderr);
            let told = match expect {
                Expect::Warned => {
                    !errors.is_empty() && errors.lines().all(|line| line.contains(because))
                }
                _ => errors.is_empty(),
            };
            if out.lines().count() != 1 || !told {
                return Err(format!("not one line alone: {ended}"));
            }
            if !out.contains(because) {
                return Err(format!("not because of {because}: {ended}"));
            }
            if matches!(expect, Expect::Local) {
                return match fs::read_to_string(home.0.path().join(local_file(engine))) {
                    Ok(text) if text.starts_with('{') => Ok(()),
                    other => Err(format!("the local file holds no message: {other:?}")),
                };
            }
            let after = home.tree();
            if after == *before {
                Ok(())
            } else {
                Err(format!("the home was {before:?} and is {after:?}"))
            }
        }
    }
}

/// Runs `command` to its end. Kills it with SIGKILL after the time limit.
fn ended(command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = child.id().to_string();
    let (sender, end) = channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    end.recv_timeout(LONGEST_RUN)
        .unwrap_or_else(|_| {
            assert!(Command::new("kill").args(["-9", &id]).status().unwrap().success());
            end.recv().unwrap()
        })
        .unwrap()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns the path to which an engine's `file` exporter writes.
fn local_file(engine: &str) -> &'static str {
    match engine {
        "own" => ".config/third/usage.jsonl",
        _ if engine.starts_with("vllm/") => ".config/vllm/usage_stats.json",
        _ => ".config/otel-usage/lmcache.jsonl",
    }
}

/// Everything below a directory: permissions, time of change, and contents.
type Tree = BTreeMap<PathBuf, (u32, i64, i64, Option<Vec<u8>>)>;

/// A temporary home directory.
struct Home(TempDir, Option<u32>);

impl Home {
    /// Makes a home with the operator's steps, owned by `user`.
    fn new(given: &[Given], user: Option<u32>) -> Self {
        let home = Self(tempfile::tempdir().unwrap(), user);
        for given in given {
            given.apply(home.0.path()).unwrap();
        }
        if user.is_some() {
            for path in home.tree().keys() {
                chown(path, user, user).unwrap();
            }
            chown(home.0.path(), user, user).unwrap();
        }
        home
    }

    /// Returns a command for `program` with this home and only the given variables. Its working directory is
    /// below the home, so that relative paths and core files stay there too.
    fn command(&self, program: &str, given: &[Given]) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.0.path())
            .current_dir(self.0.path())
            .stdin(Stdio::null());
        command.envs(given.iter().filter_map(|given| given.variable(self.0.path())));
        if let Some(user) = self.1 {
            command.uid(user).gid(user);
        }
        command
    }

    fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        let mut directories = vec![self.0.path().to_owned()];
        while let Some(directory) = directories.pop() {
            // A locked directory counts as empty, because it cannot be read.
            for entry in fs::read_dir(directory).into_iter().flatten() {
                let path = entry.unwrap().path();
                let data = fs::symlink_metadata(&path).unwrap();
                let bytes = if data.is_dir() {
                    directories.push(path.clone());
                    None
                } else if data.is_symlink() {
                    Some(fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec())
                } else if data.is_file() {
                    fs::read(&path).ok()
                } else {
                    None
                };
                tree.insert(path, (data.mode(), data.mtime(), data.mtime_nsec(), bytes));
            }
        }
        tree
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Permissions are restored, because only root could remove a locked directory.
        for path in self.tree().keys() {
            if fs::symlink_metadata(path).is_ok_and(|data| data.is_dir()) {
                let _ = fs::set_permissions(path, Permissions::from_mode(0o700));
            }
        }
    }
}

/// Checks `/etc/otel-usage/do_not_track`, and also an `/etc` without the file.
pub(crate) fn check_system_marker() {
    let Some(flags) = ["-rm", "-m"].into_iter().find(|flags| own_etc(flags, "true").is_ok()) else {
        eprintln!("skipped: no mount namespace can be made here");
        return;
    };
    for engine in ENGINES {
        let run = |make: &str, expect| {
            let home = Home::new(&[], None);
            let before = home.tree();
            let program = env!("CARGO_BIN_EXE_optout");
            let script = format!("mount -t tmpfs none /etc && {make} && exec '{program}' {engine}");
            let mut command = home.command("unshare", &[]);
            command.env("PATH", SYSTEM_PATH).args([flags, "sh", "-c", &script]);
            let output = ended(&mut command);
            verdict(expect, engine, "file /etc/otel-usage/do_not_track", &home, &before, &output)
        };
        let marked = "mkdir /etc/otel-usage && : > /etc/otel-usage/do_not_track";
        assert_eq!(run(marked, Expect::Silent), Ok(()), "{engine}");
        assert_eq!(run("mkdir /etc/otel-usage", Expect::Killed), Ok(()), "{engine}");
        assert_eq!(run("true", Expect::Killed), Ok(()), "{engine}");
    }
}

const SYSTEM_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs `script` with its own empty `/etc`.
fn own_etc(flags: &str, script: &str) -> Result<(), ()> {
    let script = format!("mount -t tmpfs none /etc && {script}");
    let mut command = Command::new("unshare");
    command.env_clear().env("PATH", SYSTEM_PATH).args([flags, "sh", "-c", &script]);
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        _ => Err(()),
    }
}
