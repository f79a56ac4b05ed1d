//! Runs one side of the comparison as a process: the original, the library, or the Python package.
//!
//! The programs print their cost as one line of JSON. With `ENGINE_LIFE=cut` they end when their input does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};

use otel_usage_testing::python::Originals;
use otel_usage_testing::receiver::{Answer, Receiver, Request};

pub(crate) enum Side {
    Original,
    /// The path of the built `examples/adopt.rs`.
    Library(PathBuf),
    /// A Python that has the package and what the originals import.
    Package(PathBuf),
}

/// The messages of one run, and their cost.
pub(crate) struct Cost {
    pub(crate) requests: Vec<Request>,
    pub(crate) cpu_seconds: f64,
    pub(crate) wall_seconds: f64,
    /// The cost to the engine's thread of the call that reports. The library's program does not tell it.
    pub(crate) call: Option<Call>,
}

/// The call that reports, on the engine's thread.
pub(crate) struct Call {
    pub(crate) cpu_seconds: f64,
    pub(crate) wall_seconds: f64,
    /// The process's threads after it that were not there before.
    pub(crate) threads: f64,
}

/// Longest time that an engine gets to end. An original waits for ever if its name server does not answer.
pub(crate) const LONGEST_END: Duration = Duration::from_secs(60);

impl Side {
    /// Runs a scenario (`life`: `whole`, or only its `start`) against a server that answers.
    pub(crate) fn run(
        &self,
        originals: &Originals,
        scenario: &str,
        home: &Path,
        life: &str,
    ) -> anyhow::Result<Cost> {
        let server = Receiver::start();
        let output = self
            .command(originals, scenario, home, &server.url())?
            .env("ENGINE_LIFE", life)
            .stdin(Stdio::null())
            .output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{scenario}: {errors}");
        let cost: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let seconds = |name: &str| {
            cost.get(name).and_then(serde_json::Value::as_f64).with_context(|| name.to_owned())
        };
        Ok(Cost {
            requests: server.requests.try_iter().collect(),
            cpu_seconds: seconds("cpu_seconds")?,
            wall_seconds: seconds("wall_seconds")?,
            call: seconds("call_cpu_seconds")
                .and_then(|cpu_seconds| {
                    let wall_seconds = seconds("call_wall_seconds")?;
                    Ok(Call { cpu_seconds, wall_seconds, threads: seconds("call_threads")? })
                })
                .ok(),
        })
    }

    /// Returns the number of processes that a run starts, directly or not, and the names of their programs.
    pub(crate) fn children(
        &self,
        originals: &Originals,
        scenario: &str,
        home: &Path,
    ) -> anyhow::Result<(usize, String)> {
        let server = Receiver::start();
        let mut run = self.command(originals, scenario, home, &server.url())?;
        run.env("ENGINE_LIFE", "start");
        let trace = home.join("trace");
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-e", "trace=process", "-o"]).arg(&trace);
        command.arg(run.get_program()).args(run.get_args()).env_clear();
        command.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = command.stdin(Stdio::null()).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "strace: {errors}");
        let text = std::fs::read_to_string(&trace)?;
        // strace may split a call into two lines. The first line has its name and flags.
        let starts = ["clone(", "clone3(", "fork(", "vfork("];
        let count = text
            .lines()
            .filter(|line| {
                line.split_whitespace()
                    .nth(1)
                    .is_some_and(|call| starts.iter().any(|start| call.starts_with(start)))
            })
            .filter(|line| !line.contains("CLONE_THREAD"))
            .count();
        // The first program is the engine itself.
        let programs: BTreeSet<&str> = text
            .lines()
            .filter(|line| line.contains(" execve(\"") && !line.contains(" = -1 "))
            .skip(1)
            .filter_map(|line| line.split('"').nth(1)?.rsplit('/').next())
            .collect();
        Ok((count, programs.into_iter().collect::<Vec<_>>().join(" ")))
    }

    /// Measures how long the process lives on after its engine ended, with a server that never answers.
    pub(crate) fn end(
        &self,
        originals: &Originals,
        scenario: &str,
        home: &Path,
    ) -> anyhow::Result<Duration> {
        let server = Receiver::scripted(Vec::new(), Answer::Hang);
        self.cut(originals, scenario, home, &server.url(), &[], || {
            let asked = server.requests.recv_timeout(Duration::from_secs(30));
            asked.map(|_| ()).context("the engine sent nothing within 30 s")
        })
    }

    /// Starts an engine, ends it once `hangs` has seen that its request hangs, and returns how long its process
    /// then lives on, [`LONGEST_END`] at most.
    pub(crate) fn cut(
        &self,
        originals: &Originals,
        scenario: &str,
        home: &Path,
        url: &str,
        environment: &[(&str, &Path)],
        hangs: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<Duration> {
        let mut process = self
            .command(originals, scenario, home, url)?
            .env("ENGINE_LIFE", "cut")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let hung = hangs();
        let begun = Instant::now();
        drop(process.stdin.take());
        while process.try_wait()?.is_none() {
            if begun.elapsed() >= LONGEST_END {
                process.kill()?;
                process.wait()?;
                return hung.map(|()| LONGEST_END);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        hung.map(|()| begun.elapsed())
    }

    fn command(
        &self,
        originals: &Originals,
        scenario: &str,
        home: &Path,
        url: &str,
    ) -> anyhow::Result<Command> {
        let path = originals.scenario(scenario);
        let mut command = match self {
            Self::Original => originals.play(scenario, url).map_err(|error| anyhow!(error))?,
            Self::Package(python) => {
                let played = originals.play_package(python, scenario, url);
                played.map_err(|error| anyhow!(error))?
            }
            Self::Library(program) => {
                let mut command = Command::new(program);
                command.arg(&path).arg(url);
                command
            }
        };
        // The result must not depend on the environment of this shell.
        let folders = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        command.env_clear().env("PATH", folders).env("HOME", home);
        command.envs(super::environment(&path)?);
        Ok(command)
    }
}
