//! Reads the configuration file that `OTEL_USAGE_CONFIG` names.
//!
//! Its keys are those of OpenTelemetry's declarative configuration; `docs/operator/configuration.md`
//! lists them. The file is opened once, on the initialising thread, and not at all if collection is off
//! already. Every mistake is reported with its place. A file that cannot be read, or that has a mistake
//! where a switch may stand, means off, because it may have said so.

#[cfg(feature = "config-file")]
mod exporters;
#[cfg(feature = "config-file")]
mod read;
#[cfg(feature = "config-file")]
mod substitute;
#[cfg(feature = "config-file")]
mod yaml;

use std::path::{Path, PathBuf};

use otel_usage_schema::{Consent, Decision};

use super::{Env, OtlpSettings, ReceiptsMode};
use crate::export::ExporterName;

/// The variable that names the file.
const VARIABLE: &str = "OTEL_USAGE_CONFIG";

/// Longest file that is read. A complete one, with comments, takes two.
#[cfg(feature = "config-file")]
const BYTES: u64 = 64 * 1024;

/// The contents of the file; empty if there is none.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConfigFile {
    pub(crate) path: Option<PathBuf>,
    /// The consent to which the file narrows.
    pub(crate) consent: Option<Decision>,
    /// The exporters that it names, if it names any.
    pub(super) exporters: Option<Vec<ExporterName>>,
    pub(super) server: Option<Located>,
    pub(super) file: Option<String>,
    pub(super) otlp: Option<OtlpSettings>,
    pub(super) omit: Vec<Located>,
    /// The place that requires TLS, if one does.
    pub(super) require_tls: Option<String>,
    /// The journal of what is sent, and the place that names it.
    pub(super) receipts: Option<(ReceiptsMode, String)>,
    /// Each begins with `FILE:LINE:COLUMN`.
    pub(super) mistakes: Vec<String>,
    /// Keys that are ignored and are no mistakes.
    pub(super) notes: Vec<String>,
    /// The mistake that turned collection off.
    pub(crate) damage: Option<String>,
}

/// A text of the file with its place. Its `Debug` form shows the place only.
#[derive(Clone)]
pub(super) struct Located {
    pub(super) text: String,
    pub(super) origin: String,
}

impl std::fmt::Debug for Located {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.origin)
    }
}

impl ConfigFile {
    /// Reads the file, if the environment names one.
    pub(crate) fn load(env: &Env) -> Self {
        let Some(path) = env.filled(VARIABLE) else { return Self::default() };
        let path = env.expand(path.trim());
        let file = Self::open(&path, env).unwrap_or_else(|what| Self::damaged(&path, what));
        Self { path: Some(path), ..file }
    }

    #[cfg(feature = "config-file")]
    fn open(path: &Path, env: &Env) -> Result<Self, String> {
        let shown = path.display();
        let bytes = crate::files::read(path, BYTES).map_err(|error| {
            format!("{shown} cannot be read: {error}; mend it or unset {VARIABLE}")
        })?;
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            format!("{shown} is not UTF-8 text after {} bytes", error.valid_up_to())
        })?;
        let root = yaml::parse(text).map_err(|(at, what)| format!("{shown}:{at} {what}"))?;
        Ok(read::read(&root, env, path))
    }

    #[cfg(not(feature = "config-file"))]
    fn open(path: &Path, _: &Env) -> Result<Self, String> {
        Err(format!(
            "{VARIABLE} names {}, but this build lacks the feature `config-file`; use the other \
             OTEL_USAGE_ variables",
            path.display()
        ))
    }

    fn damaged(path: &Path, what: String) -> Self {
        let because = format!("configuration file {}: it cannot be used", path.display());
        Self {
            consent: Some(Decision { consent: Consent::Off, because }),
            damage: Some(what.clone()),
            mistakes: vec![what],
            ..Self::default()
        }
    }

    /// Returns the warning to give if a mistake in the file, and not an opt-out, means off.
    pub(crate) fn warning(&self) -> Option<String> {
        let (what, path) = (self.damage.as_ref()?, self.path.as_ref()?);
        let check = format!("; `otel-usage config check {}` says more", path.display());
        let more = if cfg!(feature = "config-file") { check.as_str() } else { "" };
        Some(format!("{what}. Usage reporting is off{more}"))
    }
}
