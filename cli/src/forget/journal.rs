//! The journal of what was sent: which identities it names, and how lines leave it.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use super::identities::Identities;
use crate::files;

/// Longest part of the journal that is read. Its own limit is lower.
const BYTES: u64 = 16 * 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct Journal {
    /// The files that are there.
    pub(super) files: Vec<PathBuf>,
    /// The beginnings of the attempts that are meant.
    begun: Vec<Value>,
    /// The ids of these attempts, which both lines of an attempt carry.
    attempts: BTreeSet<String>,
}

impl Journal {
    /// Reads what the journal at `path` says of these contracts, or of all.
    pub(super) fn read(path: Option<&Path>, only: Option<&[String]>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let mut older = path.as_os_str().to_owned();
        older.push(".1");
        let mut journal = Self::default();
        for path in [PathBuf::from(older), path.to_owned()] {
            let Some(text) = text(&path)? else { continue };
            for line in text.lines() {
                let Ok(value) = serde_json::from_str::<Value>(line) else { continue };
                let Some(contract) = value.get("contract").and_then(Value::as_str) else {
                    continue;
                };
                if only.is_some_and(|ids| !ids.iter().any(|id| id == contract)) {
                    continue;
                }
                journal.attempts.extend(attempt(&value).map(str::to_owned));
                journal.begun.push(value);
            }
            journal.files.push(path);
        }
        Ok(journal)
    }

    pub(super) fn count(&self) -> usize {
        self.begun.len()
    }

    /// Adds the identities of what was sent. Without bodies, that of the record is all there is.
    pub(super) fn show(&self, identities: &mut Identities) {
        for line in &self.begun {
            let text = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default();
            let place = format!("{}, sent to {}", text("contract"), text("destination"));
            match serde_json::from_str::<Value>(text("body")) {
                Ok(body) => identities.add_body(&body, &place),
                Err(_) => identities.add("trace id", text("identity").to_owned(), &place),
            }
        }
    }

    /// Takes the attempts that are meant out of the files.
    pub(super) fn remove_lines(&self) -> anyhow::Result<()> {
        for path in &self.files {
            let Some(text) = text(path)? else { continue };
            let meant = |line: &str| {
                let value: Option<Value> = serde_json::from_str(line).ok();
                let value = value.as_ref().and_then(attempt);
                value.is_some_and(|attempt| self.attempts.contains(attempt))
            };
            let left: String =
                text.lines().filter(|line| !meant(line)).map(|line| format!("{line}\n")).collect();
            files::replace(path, &left).with_context(|| {
                format!("{} cannot be written: make it writable", path.display())
            })?;
        }
        Ok(())
    }
}

fn attempt(line: &Value) -> Option<&str> {
    line.get("attempt")?.as_str()
}

/// Returns the text of a part of the journal. `None`: it is not there.
fn text(path: &Path) -> anyhow::Result<Option<String>> {
    let unread =
        || format!("{} cannot be read: correct its permissions, or remove it", path.display());
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Ok(metadata) if !metadata.is_file() || metadata.len() > BYTES => {
            anyhow::bail!("{} is not a journal: remove it", path.display())
        }
        Ok(_) => {
            let bytes = fs::read(path).with_context(unread)?;
            Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
        }
        Err(error) => Err(error).with_context(unread),
    }
}
