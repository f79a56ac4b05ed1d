//! Decides whether anything may be recorded, and whether it may leave the machine.
//!
//! Environment, marker files, the mode file, the builder and a configuration file all have a say. Off
//! beats local, local beats granted, and nothing turns an off into an on. A switch that cannot be read
//! counts as off. The decision comes before everything else, and the files are read again before every
//! send.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use otel_usage_schema::{Consent, Contract, Decision, Directory, OffWhen};

use crate::files::{self, is_absent};
use crate::settings::{Env, shown};

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
    /// The last answer of the mode file, with the state of the file that gave it.
    last_mode: Arc<Mutex<Option<(files::State, Decision)>>>,
    /// The warning to give if collection is off because of a switch that cannot be found or understood.
    warning: Option<String>,
}

impl ConsentSwitches {
    /// Finds the switches that apply to `contract`.
    pub(crate) fn new(contract: &Contract, env: &Env, builder: Option<Consent>) -> Self {
        let own = env.own_folder();
        let engine = env.directory(&contract.directory);
        let mut fixed = fixed(contract, env, builder);
        let lacks_place =
            own.is_none() || engine.is_none() && !matches!(contract.directory, Directory::None);
        let mut warning = unknown_mode(env, &fixed);
        if lacks_place
            && fixed.consent != Consent::Off
            && let Err(what) = env.find_home()
        {
            fixed = off(format!("no home directory is known, where an opt-out may stand: {what}"));
            warning = Some(format!("{}; set HOME; usage reporting is off", fixed.because));
        }
        let marker_files =
            [Some(PathBuf::from(SYSTEM_FILE)), own.clone().map(marker), engine.map(marker)]
                .into_iter()
                .flatten()
                .collect();
        Self {
            fixed,
            marker_files,
            mode_file: own.map(|own| own.join("mode")),
            last_mode: Arc::default(),
            warning,
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
        match self.mode_file.as_deref().and_then(|path| self.mode(path)) {
            Some(mode) if mode.consent > self.fixed.consent => mode,
            _ => self.fixed.clone(),
        }
    }

    /// Returns the warning to give if collection is off because of a switch that cannot be found or understood.
    pub(crate) fn warning(&self) -> Option<String> {
        self.warning.clone()
    }

    /// Reads the mode file unless it is as it was, so that a process without free file descriptors does
    /// not look like an opt-out.
    fn mode(&self, path: &Path) -> Option<Decision> {
        let state = fs::metadata(path);
        if let Err(error) = &state
            && is_absent(error)
            // A dangling link means off, because the file that it led to may have said so.
            && fs::symlink_metadata(path).is_err_and(|error| is_absent(&error))
        {
            return None;
        }
        let state = state.ok().map(|metadata| files::state(&metadata));
        let mut last = self.last_mode.lock().unwrap_or_else(PoisonError::into_inner);
        match read_mode(path) {
            Ok(mode) => {
                *last = state.zip(mode.clone());
                mode
            }
            Err(error) => match (&*last, &state) {
                (Some((then, mode)), Some(now)) if then == now && lacks_descriptors(&error) => {
                    Some(mode.clone())
                }
                _ => Some(off(format!("mode file {} cannot be read: {error}", path.display()))),
            },
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

fn lacks_descriptors(error: &io::Error) -> bool {
    #[cfg(unix)]
    let codes = [libc::EMFILE, libc::ENFILE];
    #[cfg(not(unix))]
    let codes = [0_i32; 0];
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

/// Reads the mode file, or returns `None` if the file does not exist. An unknown mode means off.
fn read_mode(path: &Path) -> io::Result<Option<Decision>> {
    let because = format!("mode file {}", path.display());
    let text = match files::read_start(path, MODE_FILE_BYTES) {
        Err(error) if is_absent(&error) && fs::symlink_metadata(path).is_err() => return Ok(None),
        text => text?,
    };
    let whole = text.len() as u64 <= MODE_FILE_BYTES;
    Ok(Some(match text.trim_ascii().to_ascii_lowercase().as_slice() {
        _ if !whole => off(format!("{because} is damaged: too long")),
        b"on" => Decision { consent: Consent::Granted, because },
        b"local" => Decision { consent: Consent::Local, because },
        b"off" => off(because),
        _ => {
            off(format!("{because} is damaged; write `on`, `local` or `off` into it, or remove it"))
        }
    }))
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

/// Returns the warning to give if `OTEL_USAGE_MODE` decided with a word that is no mode.
fn unknown_mode(env: &Env, decision: &Decision) -> Option<String> {
    const VARIABLE: &str = "OTEL_USAGE_MODE";
    // These say off as clearly as they do for other switches, and an opt-out is silent.
    let clear = ["on", "local", "off", "", "0", "false", "no"];
    let word = env.word(VARIABLE).filter(|word| !clear.contains(&word.as_str()))?;
    (decision.because == format!("environment variable {VARIABLE}")).then(|| {
        format!(
            "{VARIABLE} is `{}`, which is no mode; usage reporting is off; use on, local or off",
            shown(&word)
        )
    })
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

#[cfg(all(test, unix))]
mod tests {
    use otel_usage_schema::{lmcache, vllm};

    use super::*;

    #[test]
    fn an_unknown_mode_is_off_and_one_warning() {
        let warning = |variables: &[(&str, &str)]| {
            let home = [("HOME", "/home/a")];
            let env = Env::given(home.iter().chain(variables).copied());
            let switches = ConsentSwitches::new(&vllm::CURRENT, &env, None);
            let off = switches.decide().consent == Consent::Off;
            (off, switches.warning().unwrap_or_default())
        };
        for word in ["onn", "yes", "1", "lokal", "\u{1b}[31m"] {
            let (off, said) = warning(&[("OTEL_USAGE_MODE", word)]);
            assert!(off && said.contains("OTEL_USAGE_MODE") && said.contains("on, local or off"));
            assert!(!said.contains('\u{1b}'), "{said}");
        }
        for word in ["off", " OFF ", "on", "Local", "", "0", "False", "no"] {
            assert_eq!(warning(&[("OTEL_USAGE_MODE", word)]).1, "", "{word}");
        }
        // Another switch says off clearly.
        let both = [("OTEL_USAGE_MODE", "onn"), ("DO_NOT_TRACK", "1")];
        assert_eq!(warning(&both), (true, String::new()));
    }

    #[test]
    fn a_list_of_users_that_cannot_be_read_means_off() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        let user = crate::sys::user_id();
        let home = place("home");
        let line = |home: &Path| format!("me:x:{user}:0::{}:/bin/sh\n", home.display());
        let other = b"m\xfcller:x:4242:0:M\xfcller:/home/m\xfcller:/bin/sh\n".to_vec();
        fs::create_dir_all(place("folder")).unwrap();
        fs::write(place("other"), &other).unwrap();
        fs::write(place("latin1"), [other, line(&home).into_bytes()].concat()).unwrap();
        let decide = |passwd: &str, variables: &[(&str, &str)]| {
            let env = Env::given(variables.iter().copied()).with_passwd(&place(passwd));
            let switches = ConsentSwitches::new(&vllm::CURRENT, &env, None);
            (switches.decide().consent, switches.warning())
        };
        assert_eq!(decide("latin1", &[]), (Consent::Granted, None));
        for unreadable in ["folder", "absent", "other"] {
            let (consent, warning) = decide(unreadable, &[]);
            assert_eq!(consent, Consent::Off, "{unreadable}");
            assert!(warning.unwrap().contains("HOME"));
            // An opt-out needs no warning, and with these no file of the home directory is asked.
            assert_eq!(decide(unreadable, &[("DO_NOT_TRACK", "1")]), (Consent::Off, None));
            let known = [("XDG_CONFIG_HOME", home.to_str().unwrap())];
            assert_eq!(decide(unreadable, &known), (Consent::Granted, None));
            let (consent, _) = decide(unreadable, &[known[0], ("VLLM_CONFIG_ROOT", "~/v")]);
            assert_eq!(consent, Consent::Off, "{unreadable}");
            let env = Env::given(known).with_passwd(&place(unreadable));
            let switches = ConsentSwitches::new(&lmcache::V1, &env, None);
            assert_eq!(switches.decide().consent, Consent::Off);
        }
        // The user's off stands behind another user's name.
        fs::create_dir_all(home.join(".config/otel-usage")).unwrap();
        fs::write(home.join(".config/otel-usage/do_not_track"), "").unwrap();
        assert_eq!(decide("latin1", &[]), (Consent::Off, None));
    }
}
