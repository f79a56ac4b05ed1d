//! The configuration file that `OTEL_USAGE_CONFIG` names, for operators who swap exporters by a file.
//!
//! In: the environment. Out: a [`ConfigFile`]: what the file says, and every mistake in it with its place.
//! Its keys are those of OpenTelemetry's declarative configuration; docs/configuration.md has them. It is
//! opened only when the environment leaves anything to do, once, on the initialising thread. A file that
//! cannot be read, or that is wrong where a switch may stand, may have said off: then off it is.

#[cfg(feature = "config-file")]
mod exporters;
#[cfg(feature = "config-file")]
mod read;
#[cfg(feature = "config-file")]
mod substitute;
#[cfg(feature = "config-file")]
mod yaml;

use std::path::{Path, PathBuf};

use super::{Consent, Decision, Env, Exporter, OtlpSettings};

/// The variable that names the file.
const VARIABLE: &str = "OTEL_USAGE_CONFIG";

/// Longest file that is read. A complete one, with comments, takes two.
#[cfg(feature = "config-file")]
const BYTES: u64 = 64 * 1024;

/// What the file says; nothing when there is none.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConfigFile {
    pub(crate) path: Option<PathBuf>,
    /// What it narrows consent to.
    pub(crate) consent: Option<Decision>,
    /// The exporters it names. `None`: it leaves them to others.
    pub(super) exporters: Option<Vec<Exporter>>,
    pub(super) server: Option<Said>,
    pub(super) file: Option<String>,
    pub(super) otlp: Option<OtlpSettings>,
    pub(super) omit: Vec<Said>,
    /// Each begins with `FILE:LINE:COLUMN`.
    pub(super) mistakes: Vec<String>,
    /// What is ignored, and no mistake.
    pub(super) notes: Vec<String>,
    /// The mistake for which collection is off. The only thing that is said about an off.
    pub(crate) damage: Option<String>,
}

/// A word of the file, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) origin: String,
}

impl ConfigFile {
    /// Whether the environment names a file.
    pub(crate) fn is_named(env: &Env) -> bool {
        env.filled(VARIABLE).is_some()
    }

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
        let bytes = super::read_start(path, BYTES).map_err(|error| {
            format!("{shown} cannot be read: {error}; mend it or unset {VARIABLE}")
        })?;
        if bytes.len() as u64 > BYTES {
            return Err(format!(
                "{shown} is longer than {BYTES} bytes; {VARIABLE} names another file?"
            ));
        }
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            format!("{shown} is no UTF-8 text after {} bytes", error.valid_up_to())
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

    /// The warning to give when the file is the reason for an off that it did not ask for.
    pub(crate) fn warning(&self) -> Option<String> {
        let (what, path) = (self.damage.as_ref()?, self.path.as_ref()?);
        let check = format!("; `otel-usage config check {}` says more", path.display());
        let more = if cfg!(feature = "config-file") { check.as_str() } else { "" };
        Some(format!("{what}. Usage reporting is off{more}"))
    }
}
