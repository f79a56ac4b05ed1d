//! Whether what is sent is recorded in a journal, and where.

use std::fs;
use std::path::{Path, PathBuf};

use super::{ConfigFile, Env, shown};
use crate::files;

const VARIABLE: &str = "OTEL_USAGE_RECEIPTS";

/// Longest file with a mode that is read; `bodies` and a newline take seven bytes.
const BYTES: u64 = 64;

/// How much the journal records of each attempt to deliver a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiptsMode {
    /// There is no journal.
    #[default]
    Off,
    /// Time, contract, message, destination, outcome, identity and size.
    On,
    /// The body too.
    Bodies,
}

impl ReceiptsMode {
    /// Returns the word for it in `OTEL_USAGE_RECEIPTS`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
            Self::Bodies => "bodies",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        let word = word.trim();
        [Self::Off, Self::On, Self::Bodies]
            .into_iter()
            .find(|mode| word.eq_ignore_ascii_case(mode.as_str()))
    }
}

/// The settings of the journal of what is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiptsSettings {
    /// How much is recorded, if consent allows anything to be sent.
    pub mode: ReceiptsMode,
    /// The place that decided it, in words.
    pub because: String,
    /// The journal, which may be there although it is off now. `None` if no home directory is known.
    pub journal: Option<PathBuf>,
    /// The file that `otel-usage receipts` writes. `None` if no home directory is known.
    pub mode_file: Option<PathBuf>,
    /// Whether that file decides and was not read yet.
    pub(crate) by_file: bool,
}

/// Finds the settings: the environment wins over the configuration file, and that over the file of the command, which
/// [`ReceiptsSettings::complete`] reads.
pub(super) fn resolve(
    env: &Env,
    file: &ConfigFile,
    warnings: &mut Vec<String>,
) -> ReceiptsSettings {
    let mode_file = env.own_folder().map(|own| own.join("receipts"));
    let journal = env.state_home().map(|state| state.join("receipts.jsonl"));
    let (mode, because) = if let Some(word) = env.filled(VARIABLE) {
        let mode = ReceiptsMode::parse(&word).unwrap_or_else(|| {
            warnings.push(format!(
                "{VARIABLE} is `{}`, which is no mode; what is sent is not recorded; use on, bodies or off",
                shown(word.trim())
            ));
            ReceiptsMode::Off
        });
        (mode, format!("environment variable {VARIABLE}"))
    } else if let Some((mode, origin)) = &file.receipts {
        (*mode, format!("configuration file {origin}: receipts"))
    } else {
        (ReceiptsMode::Off, "default".to_owned())
    };
    let by_file = because == "default";
    ReceiptsSettings { mode, because, journal, mode_file, by_file }
}

impl ReceiptsSettings {
    /// Reads the file of the command, if nothing else decides, and says what keeps the journal from being written. The
    /// worker does it, because a start must not wait for a disk that is slow.
    pub(crate) fn complete(&mut self, warnings: &mut Vec<String>) {
        if std::mem::take(&mut self.by_file)
            && let Some(path) = &self.mode_file
            && let Some(read) = read_mode(path)
        {
            self.mode = read.unwrap_or_else(|what| {
                warnings.push(format!(
                    "{}: {what}; what is sent is not recorded; run otel-usage receipts on, bodies or off, or \
                     remove the file",
                    path.display()
                ));
                ReceiptsMode::Off
            });
            self.because = format!("file {}", path.display());
        }
        if self.mode != ReceiptsMode::Off && self.journal.is_none() {
            warnings.push(format!(
                "what is sent is not recorded, because no home directory is known; set HOME or XDG_STATE_HOME, \
                 or {VARIABLE}=off"
            ));
        }
    }
}

/// Reads the file of the command. `None` if there is none.
fn read_mode(path: &Path) -> Option<Result<ReceiptsMode, String>> {
    Some(match files::read_start(path, BYTES) {
        Err(error) if files::is_absent(&error) && fs::symlink_metadata(path).is_err() => {
            return None;
        }
        Err(error) => Err(error.to_string()),
        Ok(text) => {
            let word = String::from_utf8_lossy(&text);
            ReceiptsMode::parse(&word).ok_or_else(|| "it holds no mode".to_owned())
        }
    })
}
