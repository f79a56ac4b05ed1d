//! A shell with a temporary home and an environment that is otherwise empty.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// The shell in which a command runs.
pub(crate) struct Shell {
    home: TempDir,
    variables: Vec<(String, String)>,
}

/// The result of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Shell {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn mode_file(&self) -> PathBuf {
        self.home().join(".config/otel-usage/mode")
    }

    /// Runs `otel-usage` with `line`, split at spaces.
    pub(crate) fn run(&self, line: &str) -> Ran {
        self.run_into(line, Stdio::piped())
    }

    pub(crate) fn run_into(&self, line: &str, stdout: impl Into<Stdio>) -> Ran {
        let child = self.command(line).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        Ran::of(child.wait_with_output().unwrap())
    }

    /// Runs it as a user for whom permissions mean something, which they do not for root. `None`: a build folder that
    /// only root can enter.
    #[cfg(target_os = "linux")]
    pub(crate) fn run_as_nobody(&self, line: &str) -> Option<Ran> {
        use std::os::unix::fs::{MetadataExt as _, chown};
        use std::os::unix::process::CommandExt as _;
        const NOBODY: u32 = 65534;
        let mut command = self.command(line);
        if matches!(fs::metadata(self.home()).unwrap().uid(), 0 | NOBODY)
            && chown(self.home(), Some(NOBODY), Some(NOBODY)).is_ok()
        {
            for path in self.files() {
                chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
            command.uid(NOBODY).gid(NOBODY);
        }
        command.output().ok().map(Ran::of)
    }

    fn command(&self, line: &str) -> Command {
        #[expect(
            clippy::disallowed_methods,
            reason = "the library starts no process; this test must"
        )]
        let mut command = Command::new(env!("CARGO_BIN_EXE_otel-usage"));
        command.args(line.split_whitespace()).env_clear().env("HOME", self.home());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Returns the paths of all files in the home.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.home().to_owned()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path.clone());
                }
                found.push(path);
            }
        }
        found
    }
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Returns the lines of standard output, each as JSON.
    pub(crate) fn json_lines(&self) -> Vec<serde_json::Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
