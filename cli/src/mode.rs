//! `otel-usage on`, `local`, `off`: writes the mode file and shows what results from it.
//!
//! `off` also deletes the messages that wait on disk, and notes its time: what is older is never sent.
//!
//! The file is replaced in one step, so that an engine which reads it at the same moment, or after a crash, finds
//! the old word or the new one.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use otel_usage::schema::vllm;
use otel_usage::{Consent, Usage};

use crate::look::look;
use crate::output::Failures;
use crate::status::{self, Status};
use crate::{contract, exit, files, output, spool};

pub(crate) fn run(mode: Consent) -> anyhow::Result<u8> {
    // All contracts share the files.
    let inspection = look(Usage::builder(&vllm::CURRENT))?;
    let path = place(inspection.mode_file())?;
    let off = mode == Consent::Off;
    // Before the mode, so that an `off` that is cut short leaves nothing to be sent after an `on`.
    let forbidden = if off { spool::forbid_older(&inspection) } else { Ok(()) };
    let written = files::replace(&path, &format!("{}\n", mode.as_str())).with_context(|| {
        format!("{} cannot be written: make it writable, or set {}", path.display(), instead(mode))
    });
    // Data is deleted also if the switch cannot be written.
    let gone = off.then(|| spool::purge(inspection.settings().spool.as_deref(), None));
    let mut failed = Failures::default();
    failed.of(forbidden);
    let written = failed.of(written).is_some();
    let gone = gone.and_then(|gone| failed.of(gone)).filter(|gone| !gone.is_empty());
    let gone = gone.map(|gone| spool::told(&gone, &inspection)).unwrap_or_default();
    if !written {
        output::show(&gone)?;
        return Ok(failed.code());
    }
    let statuses = status::here(&contract::every_engine())?;
    let overall = status::most_permissive(&statuses);
    for warning in status::each_once(statuses.iter().flat_map(|status| &status.warnings)) {
        output::warning(warning);
    }
    output::show(&(summary(mode, &path, &statuses) + &gone))?;
    Ok(match failed.code() {
        exit::SUCCESS if overall != mode => exit::of(overall),
        code => code,
    })
}

/// Returns the path of a file with a word of the operator's.
pub(crate) fn place(mode_file: Option<&Path>) -> anyhow::Result<PathBuf> {
    mode_file.map(Path::to_owned).ok_or_else(|| {
        anyhow!("no home directory is known: set HOME or XDG_CONFIG_HOME, for the engines too")
    })
}

/// Returns the environment variable with the same effect as the mode file.
const fn instead(mode: Consent) -> &'static str {
    match mode {
        Consent::Granted => "OTEL_USAGE_MODE=on",
        Consent::Local => "OTEL_USAGE_MODE=local",
        Consent::Off => "DO_NOT_TRACK=1",
    }
}

fn summary(mode: Consent, path: &Path, statuses: &[Status]) -> String {
    let word = mode.as_str();
    let mut text = format!("wrote `{word}` to {}\n", path.display());
    // Writing to a `String` cannot fail.
    for Status { contract, consent, because, .. } in statuses {
        let _ = if *consent == mode {
            writeln!(text, "{contract}: {}", status::mode(mode))
        } else {
            writeln!(text, "{contract}: stays {}, because of: {because}", status::mode(*consent))
        };
    }
    text.push_str(match mode {
        Consent::Off => "Running engines stop before they send again.\n",
        _ => "New engines use this mode. Running engines stop what it no longer allows.\n",
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_home_the_remedy_is_named() {
        let error = place(None).unwrap_err().to_string();
        assert!(error.contains("HOME"), "{error}");
    }
}
