//! `otel-usage on`, `local`, `off`. In: a mode. Out: the mode file, and what comes of it.
//!
//! The file is written beside itself, synced and renamed, so that an engine that reads it at the
//! same moment, or after a crash, finds the old word or the new one and never half of one.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use otel_usage::schema::vllm;
use otel_usage::{Consent, Usage};
use tempfile::NamedTempFile;

use crate::status::{self, Status};
use crate::{exit, output};

pub(crate) fn run(mode: Consent) -> anyhow::Result<u8> {
    // The file is the same for every contract.
    let path = place(Usage::builder(&vllm::CURRENT).mode_file())?;
    write(&path, mode.as_str()).with_context(|| {
        format!("{} cannot be written: make it writable, or set {}", path.display(), instead(mode),)
    })?;
    let statuses = status::here(None);
    let overall = status::most_permissive(&statuses);
    output::print(&report(mode, &path, &statuses))?;
    Ok(if overall == mode { exit::SUCCESS } else { exit::of(overall) })
}

fn place(mode_file: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    mode_file.ok_or_else(|| {
        anyhow!("no home directory is known: set HOME or XDG_CONFIG_HOME, and set it for the engines too")
    })
}

/// The variable that does the same without a file.
const fn instead(mode: Consent) -> &'static str {
    match mode {
        Consent::Granted => "OTEL_USAGE_MODE=on",
        Consent::Local => "OTEL_USAGE_MODE=local",
        Consent::Off => "DO_NOT_TRACK=1",
    }
}

fn write(path: &Path, word: &str) -> io::Result<()> {
    let directory = path.parent().unwrap_or_else(|| Path::new("/"));
    fs::create_dir_all(directory)?;
    // Removes itself when anything below fails.
    let mut file = NamedTempFile::new_in(directory)?;
    writeln!(file, "{word}")?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // The word is in place; some file systems cannot sync a directory, and that is no failure.
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
    Ok(())
}

fn report(mode: Consent, path: &Path, statuses: &[Status]) -> String {
    let word = mode.as_str();
    let mut text = format!("wrote `{word}` to {}\n", path.display());
    // Writing to a `String` cannot fail.
    for Status { contract, consent, because, .. } in statuses {
        let _ = if *consent == mode {
            writeln!(text, "{contract}: {word}")
        } else {
            writeln!(text, "{contract}: stays {}, because of: {because}", consent.as_str())
        };
    }
    text.push_str(match mode {
        Consent::Off => "Engines that run now stop before their next report.\n",
        _ => "Engines follow from their next start; those that run now stop what is no longer allowed.\n",
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

    #[test]
    fn a_write_that_fails_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mode");
        fs::create_dir(&path).unwrap();
        assert!(write(&path, "off").is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
