//! A shell with a temporary home and an environment that is otherwise empty.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
        #[expect(
            clippy::disallowed_methods,
            reason = "the library starts no process; this test must"
        )]
        let mut command = Command::new(env!("CARGO_BIN_EXE_otel-usage"));
        command.args(line.split_whitespace()).env_clear().env("HOME", self.home());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let child = command.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
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
    /// Returns the lines of standard output, each as JSON.
    pub(crate) fn json_lines(&self) -> Vec<serde_json::Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
