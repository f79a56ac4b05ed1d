//! Decides whether anything may be recorded, and whether it may leave the machine.
//!
//! Environment, marker files, the mode file, the builder and a configuration file all have a say. Off
//! beats local, local beats granted, and nothing turns an off into an on. A switch that cannot be read
//! counts as off. The decision comes before everything else, and the files are read again before every
//! send.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use otel_usage_schema::{Consent, Contract, Decision, OffWhen};

use crate::settings::{Env, read_start};

/// The file that switches every engine off on this machine.
const SYSTEM_FILE: &str = "/etc/otel-usage/do_not_track";

/// Longest mode file that is read; `local` and a newline take six bytes.
const MODE_FILE_BYTES: u64 = 64;

/// The switches of one contract: fixed answers from environment and builder, and files.
#[derive(Debug, Clone)]
pub(crate) struct ConsentSwitches {
    fixed: Decision,
    marker_files: Vec<PathBuf>,
    mode_file: Option<PathBuf>,
}

impl ConsentSwitches {
    /// Finds the switches that apply to `contract`.
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

    /// Adds the decision of a configuration file, which can narrow consent and never widen it.
    pub(crate) fn narrow(&mut self, decision: Decision) {
        if decision.consent > self.fixed.consent {
            self.fixed = decision;
        }
    }

    /// Returns the consent as it is now.
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

    /// Returns the mode file, which `otel-usage on|local|off` writes, or `None` if no home directory is
    /// known.
    pub(crate) fn mode_file(&self) -> Option<&Path> {
        self.mode_file.as_deref()
    }
}

/// Asks consent again before each write and send.
#[derive(Debug, Clone)]
pub(crate) struct ConsentGate {
    switches: ConsentSwitches,
    withdrawn: Arc<AtomicBool>,
}

impl ConsentGate {
    /// Returns a gate that closes when `withdrawn` becomes true.
    pub(crate) const fn new(switches: ConsentSwitches, withdrawn: Arc<AtomicBool>) -> Self {
        Self { switches, withdrawn }
    }

    /// Returns the consent as it is now.
    pub(crate) fn consent(&self) -> Consent {
        if self.withdrawn.load(Ordering::Relaxed) {
            Consent::Off
        } else {
            self.switches.decide().consent
        }
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

/// Reads the mode file, or returns `None` if there is none. An unreadable or unknown mode means off.
fn read_mode(path: &Path) -> Option<Decision> {
    let because = format!("mode file {}", path.display());
    let text = match read_start(path, MODE_FILE_BYTES) {
        Ok(text) => text,
        // A dangling link means off, because the file that it led to may have said so.
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

/// Returns the decision of environment and builder, which never changes while the process runs.
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
        Some(name) => match contract.ci_variable.as_deref() {
            Some(wanted) if env.filled(wanted).is_some() => granted(variable(wanted)),
            _ => local(format!("environment variable {name}: continuous integration")),
        },
        None => granted("default".to_owned()),
    }
}

/// Returns the variable that shows that this is continuous integration.
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
