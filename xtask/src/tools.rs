//! Starts cargo, finds or installs other programs, and shows that long work goes on.

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::workspace::Workspace;

/// Returns whether `program` can be started. As root it first installs a missing program by `apt-get`.
pub(crate) fn have(program: &str) -> bool {
    let starts = || succeeds(Command::new(program).arg("--version"));
    if starts() {
        return true;
    }
    if succeeds(Command::new("sh").args(["-c", "test $(id -u) = 0"])) {
        watched(&format!("installing {program}"), || {
            succeeds(Command::new("apt-get").arg("update"));
            succeeds(
                Command::new("apt-get")
                    .args(["install", "--yes", "--no-install-recommends"])
                    .arg(program),
            );
        });
    }
    starts()
}

/// Runs a command without its output and returns whether it succeeded.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs a command with its output, and fails with the message `otherwise`.
pub(crate) fn run(command: &mut Command, otherwise: &str) -> anyhow::Result<()> {
    let status =
        command.status().with_context(|| format!("{} does not start", program(command)))?;
    ensure!(status.success(), "{otherwise}");
    Ok(())
}

/// Runs a command and returns its standard output as text. A failure shows its standard error.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = program(command);
    let output = command.output().with_context(|| format!("{name} does not start"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} failed: {errors}");
    String::from_utf8(output.stdout).with_context(|| format!("{name} prints no UTF-8"))
}

fn program(command: &Command) -> String {
    Path::new(command.get_program()).file_name().unwrap_or_default().display().to_string()
}

/// Explains why a check is skipped. Fails under CI, where every check must run.
pub(crate) fn skip(because: &str) -> anyhow::Result<()> {
    if std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false") {
        bail!("{because}; under CI no check may be skipped");
    }
    println!("not checked: {because}");
    Ok(())
}

/// Shows `what` on standard error while `work` runs, with the seconds so far: on a terminal in one line that
/// changes, else in a line every few seconds, so that a log shows that the work goes on.
pub(crate) fn watched<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let terminal = io::stderr().is_terminal();
    let pause = Duration::from_secs(if terminal { 1 } else { 5 });
    watched_to(&mut io::stderr(), terminal, pause, what, work)
}

fn watched_to<T>(
    out: &mut (impl Write + Send),
    terminal: bool,
    pause: Duration,
    what: &str,
    work: impl FnOnce() -> T,
) -> T {
    let begun = Instant::now();
    let (running, finished) = mpsc::channel::<()>();
    // A closed standard error must not end the work.
    let mut tell = move |text: String| {
        let _ = write!(out, "{text}").and_then(|()| out.flush());
    };
    let (before, after) = if terminal { ("\r", "") } else { ("", "\n") };
    if !terminal {
        tell(format!("{what} ...\n"));
    }
    let tell = &mut tell;
    thread::scope(|scope| {
        let shows = scope.spawn(move || {
            while finished.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                tell(format!("{before}{what}: {} s{after}", begun.elapsed().as_secs()));
            }
            if terminal {
                tell(format!("\r{what}: {:.0} s\n", begun.elapsed().as_secs_f64()));
            }
        });
        let result = work();
        drop(running);
        let _ = shows.join();
        result
    })
}

/// Returns the folder of the workspace.
pub(crate) fn root() -> anyhow::Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace's folder")
}

/// Returns the cargo that runs this task, to be started in `folder`.
pub(crate) fn cargo(folder: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(folder);
    forget_this_package(&mut command);
    command
}

/// Removes the variables by which `cargo run` describes this program. Some build scripts (ring's) run again when
/// these change, and everything above them is built again.
pub(crate) fn forget_this_package(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        }) {
            command.env_remove(name);
        }
    }
}

/// Returns the folder in which cargo builds.
pub(crate) fn target(root: &Path) -> anyhow::Result<PathBuf> {
    Ok(Workspace::read(root)?.target_directory)
}

/// Builds the command `otel-usage` and returns its path.
pub(crate) fn otel_usage(root: &Path, release: bool) -> anyhow::Result<PathBuf> {
    let (options, folder): (&[&str], _) =
        if release { (&["--release"], "release") } else { (&[], "debug") };
    run(
        cargo(root).args(["build", "--package", "otel-usage-cli", "--locked"]).args(options),
        "the command `otel-usage` does not build",
    )?;
    Ok(target(root)?.join(folder).join("otel-usage"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tells a channel of each write.
    struct Lines(mpsc::Sender<String>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn long_work_shows_that_it_goes_on_also_in_a_pipe() {
        for terminal in [false, true] {
            let (said, hear) = mpsc::channel();
            let pause = Duration::from_millis(1);
            // The work ends only after two signs of life.
            let signs = watched_to(&mut Lines(said), terminal, pause, "building", || {
                hear.iter().filter(|text| text.contains(" s")).take(2).count()
            });
            assert_eq!(signs, 2);
        }
    }
}
