//! Finds the other programs that a test needs. If one is absent, a line says which test did not run and
//! how to install the program.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Once;

/// Prints once what is missing. Under CI nothing may be missing.
pub(crate) fn missing(what: &str, remedy: &str, said: &Once) {
    let ci = std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false");
    assert!(!ci, "no {what}: {remedy}");
    // Writes around the test harness, which hides the output of passing tests.
    said.call_once(|| drop(writeln!(std::io::stderr(), "not tested: no {what}; {remedy}")));
}

/// Returns the command `otel-usage` with its bridge, which Cargo puts beside the tests of the workspace.
pub(crate) fn command() -> Option<PathBuf> {
    static SAID: Once = Once::new();
    let tests = std::env::current_exe().unwrap();
    let beside = tests.parent()?.parent()?.join("otel-usage");
    let command = std::env::var_os("OTEL_USAGE_COMMAND").map_or(beside, PathBuf::from);
    let help = Command::new(&command).args(["bridge", "--help"]).stderr(Stdio::null()).output();
    if help.is_ok_and(|output| output.status.success()) {
        return Some(command);
    }
    missing("bridge", "`cargo build -p otel-usage-cli` builds it", &SAID);
    None
}

/// Returns the Python of `cargo xtask e2e --all` with the packages of `requirements.txt`. It is optional,
/// also under CI.
pub(crate) fn python(what: &str) -> Option<String> {
    let python = std::env::var("OTEL_USAGE_E2E_PYTHON").ok();
    if python.is_none() {
        let _ = writeln!(std::io::stderr(), "not tested: {what}; run `cargo xtask e2e --all`");
    }
    python
}
