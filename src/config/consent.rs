//! Consent: whether anything may be recorded, and whether it may leave the machine.
//!
//! In: the environment snapshot, marker files, the builder, a configuration file. Out: a [`Decision`] that names the
//! switch behind it. Off beats local beats granted, and nothing turns an off into an on; what
//! cannot be read counts as off. Decided before anything else happens, and the files are asked
//! again before every send.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::env::Env;
use super::read_start;
use crate::schema::{Contract, OffWhen};

/// What the operator allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "three modes, complete by definition")]
pub enum Consent {
    /// Reports are made and sent.
    Granted,
    /// Reports are made and kept on this machine: file and console, no network, not even loopback.
    Local,
    /// Nothing happens: no thread, no file, no socket, no log line.
    Off,
}

impl Consent {
    /// The word for it: `on`, `local` or `off`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "on",
            Self::Local => "local",
            Self::Off => "off",
        }
    }
}

/// A consent and the switch that decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision {
    /// The consent.
    pub consent: Consent,
    /// The switch, in words an operator can act on: `environment variable DO_NOT_TRACK`.
    pub because: String,
}

/// The file that switches every engine off on this machine.
const SYSTEM_FILE: &str = "/etc/otel-usage/do_not_track";

/// Longest mode file that is read; `local` and a newline take six bytes.
const MODE_FILE_BYTES: u64 = 64;

/// Where consent is looked up: fixed answers from environment and builder, files asked again.
#[derive(Debug, Clone)]
pub(crate) struct Switches {
    fixed: Decision,
    marker_files: Vec<PathBuf>,
    mode_file: Option<PathBuf>,
}

impl Switches {
    /// Collects the switches that apply to `contract`.
    pub(crate) fn new(contract: &Contract, env: &Env, builder: Option<Consent>) -> Self {
        let own = env.config_home().map(|directory| directory.join("otel-usage"));
        let engine = env.directory(&contract.directory);
        let marker_files =
            [Some(PathBuf::from(SYSTEM_FILE)), own.clone().map(marker), engine.map(marker)]
                .into_iter()
                .flatten()
                .collect();
        Self {
            fixed: fixed(contract, env, builder),
            marker_files,
            mode_file: own.map(|own| own.join("mode")),
        }
    }

    /// A configuration file's word: it narrows what the rest allows, and never widens it.
    pub(crate) fn narrow(&mut self, word: Decision) {
        if word.consent > self.fixed.consent {
            self.fixed = word;
        }
    }

    /// The consent now.
    pub(crate) fn decide(&self) -> Decision {
        if self.fixed.consent == Consent::Off {
            return self.fixed.clone();
        }
        for path in &self.marker_files {
            match fs::symlink_metadata(path) {
                Ok(_) => return off(format!("file {}", path.display())),
                Err(error) if is_absent(&error) => {}
                Err(error) => {
                    return off(format!("file {} cannot be checked: {error}", path.display()));
                }
            }
        }
        match self.mode_file.as_deref().and_then(read_mode) {
            Some(mode) if mode.consent > self.fixed.consent => mode,
            _ => self.fixed.clone(),
        }
    }

    /// The mode file, which `otel-usage on|local|off` writes. `None`: no home directory is known.
    pub(crate) fn mode_file(&self) -> Option<&Path> {
        self.mode_file.as_deref()
    }
}

fn marker(directory: PathBuf) -> PathBuf {
    directory.join("do_not_track")
}

fn off(because: String) -> Decision {
    Decision { consent: Consent::Off, because }
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// `None` when there is no mode file. One that cannot be read or understood means off.
fn read_mode(path: &Path) -> Option<Decision> {
    let because = format!("mode file {}", path.display());
    let text = match read_start(path, MODE_FILE_BYTES) {
        Ok(text) => text,
        // A link that leads nowhere is there: whatever it led to may have said off.
        Err(error) if is_absent(&error) && fs::symlink_metadata(path).is_err() => return None,
        Err(error) => return Some(off(format!("{because} cannot be read: {error}"))),
    };
    let whole = text.len() as u64 <= MODE_FILE_BYTES;
    Some(match text.trim_ascii().to_ascii_lowercase().as_slice() {
        _ if !whole => off(format!("{because} is damaged: too long")),
        b"on" => Decision { consent: Consent::Granted, because },
        b"local" => Decision { consent: Consent::Local, because },
        b"off" => off(because),
        _ => {
            off(format!("{because} is damaged; write `on`, `local` or `off` into it, or remove it"))
        }
    })
}

/// What environment and builder say, which never changes while the process runs.
fn fixed(contract: &Contract, env: &Env, builder: Option<Consent>) -> Decision {
    let variable = |name: &str| format!("environment variable {name}");
    if env.has("DO_NOT_TRACK") {
        return off(variable("DO_NOT_TRACK"));
    }
    for switch in contract.switches.iter() {
        if is_off(env, &switch.variable, switch.off) {
            return off(variable(&switch.variable));
        }
    }
    let mode = env.word("OTEL_USAGE_MODE");
    if mode.as_deref().is_some_and(|mode| !matches!(mode, "on" | "local")) {
        return off(variable("OTEL_USAGE_MODE"));
    }
    if is_off(env, "OTEL_SDK_DISABLED", OffWhen::True) {
        return off(variable("OTEL_SDK_DISABLED"));
    }
    if builder == Some(Consent::Off) {
        return off("the engine itself".to_owned());
    }
    let local = |because: String| Decision { consent: Consent::Local, because };
    if mode.as_deref() == Some("local") {
        return local(variable("OTEL_USAGE_MODE"));
    }
    if builder == Some(Consent::Local) {
        return local("the engine itself".to_owned());
    }
    let granted = |because: String| Decision { consent: Consent::Granted, because };
    if mode.is_some() {
        return granted(variable("OTEL_USAGE_MODE"));
    }
    match ci(env) {
        // Only vLLM's own variable, and only for vLLM: its CI says `ci-test` there.
        Some(_) if contract.system == "vllm" && env.filled("VLLM_USAGE_SOURCE").is_some() => {
            granted(variable("VLLM_USAGE_SOURCE"))
        }
        Some(name) => local(format!("environment variable {name}: continuous integration")),
        None => granted("default".to_owned()),
    }
}

/// The variable that says this is continuous integration.
fn ci(env: &Env) -> Option<&'static str> {
    if is_off(env, "CI", OffWhen::True) {
        return Some("CI");
    }
    ["GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL", "BUILDKITE"]
        .into_iter()
        .find(|name| is_off(env, name, OffWhen::True))
}

fn is_off(env: &Env, variable: &str, off: OffWhen) -> bool {
    let Some(word) = env.word(variable) else { return false };
    match off {
        OffWhen::Present => true,
        OffWhen::NotTrue => !matches!(word.as_str(), "1" | "true" | "yes" | "on"),
        OffWhen::True => !matches!(word.as_str(), "" | "0" | "false" | "no" | "off"),
    }
}
