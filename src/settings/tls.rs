//! Whether the operator forbids connections that others on the way can read.

use super::{ConfigFile, Env, shown};

const VARIABLE: &str = "OTEL_USAGE_REQUIRE_TLS";

/// Returns the place that requires TLS, and the warning about a value that is not understood.
///
/// Such a value requires it, because somebody meant to say something about it. A file can require it, too, and
/// the variable does not undo that.
pub(super) fn required(env: &Env, file: &ConfigFile) -> (Option<String>, Option<String>) {
    let word = env.word(VARIABLE);
    match word.as_deref() {
        None | Some("0" | "false") => (file.require_tls.clone(), None),
        Some("1" | "true" | "yes" | "on") => (Some(VARIABLE.to_owned()), None),
        Some(other) => {
            let warning = format!(
                "{VARIABLE} is `{}`, which is neither 1 nor 0, so that it requires TLS; write 1 or 0",
                shown(other)
            );
            (Some(VARIABLE.to_owned()), Some(warning))
        }
    }
}
