//! Programs that a test needs beside the collector, from PyPI. In: what `cargo xtask e2e --all` has
//! installed. Out: a Python that has them; or none, and one line says what is not tested.

use std::io::Write as _;

/// The Python of `cargo xtask e2e --all`, which has the packages of `requirements.txt`.
pub(crate) fn python(what: &str) -> Option<String> {
    let python = std::env::var("OTEL_USAGE_E2E_PYTHON").ok();
    if python.is_none() {
        // Past the test harness, which keeps the output of tests that pass to itself.
        let _ = writeln!(std::io::stderr(), "not tested: {what}; run `cargo xtask e2e --all`");
    }
    python
}
