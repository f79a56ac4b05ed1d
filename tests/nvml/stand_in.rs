//! Builds the stand-in of NVIDIA's library and runs a process that loads it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// The longest time a process may take. A process that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Beginning of the lines with the answer.
const ANSWER: &str = "answer: ";

/// The output of a process.
pub(crate) struct Played {
    pub(crate) answers: Vec<String>,
    /// How often the library was initialised.
    pub(crate) initialised: usize,
}

/// Returns whether a test started this process. The ignored tests do nothing in another one.
pub(crate) fn is_played() -> bool {
    std::env::var_os("STAND_IN").is_some()
}

/// Prints a line for the test that started this process.
pub(crate) fn answer(text: &str) {
    println!("\n{ANSWER}{text}");
}

/// Builds the library into `folder`. Returns `false` without a C compiler, and fails under CI.
fn build(folder: &Path, flags: &[&str]) -> bool {
    let compiler = Command::new("cc")
        .args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"])
        .arg(folder.join("libnvidia-ml.so.1"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/nvml/stand_in.c"))
        .args(flags)
        .status();
    match compiler {
        Ok(status) => {
            assert!(status.success(), "the stand-in does not compile");
            true
        }
        Err(error) => {
            eprintln!("not tested: no C compiler `cc` builds the stand-in library ({error})");
            assert!(std::env::var_os("CI").is_none(), "a C compiler is part of the job");
            false
        }
    }
}

/// Runs the ignored test `role` in a process whose library plays `play`. Returns `None` if this machine
/// cannot. `flags` are for the compiler, or `None` for no library at all.
pub(crate) fn run(
    role: &str,
    flags: Option<&[&str]>,
    play: &str,
    environment: &[(&str, &str)],
) -> Option<Played> {
    let folder = tempfile::tempdir().unwrap();
    if flags.is_some_and(|flags| !build(folder.path(), flags)) {
        return None;
    }
    let log = folder.path().join("log");
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args([role, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env_remove("CUDA_VISIBLE_DEVICES")
        .env_remove("CUDA_DEVICE_ORDER")
        .env("LD_LIBRARY_PATH", folder.path())
        .env("STAND_IN", play)
        .env("STAND_IN_LOG", &log)
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = process.stdout.take().unwrap();
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let until = Instant::now() + PATIENCE;
    let mut answers = Vec::new();
    // The channel closes when the process has ended.
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left) {
            Ok(line) => {
                if let Some(answer) = line.strip_prefix(ANSWER) {
                    answers.push(answer.to_owned());
                }
            }
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                process.kill().unwrap();
                panic!("{role} with {play} did not end; it said {answers:?}");
            }
        }
    }
    assert!(process.wait().unwrap().success(), "{role} with {play} failed: {answers:?}");
    let initialised = std::fs::read_to_string(&log).unwrap_or_default().lines().count();
    Some(Played { answers, initialised })
}
