//! The environment variables, read once, on the initialising thread, into a snapshot.
//!
//! Nothing reads them later, because an engine's `setenv` would race with that. [`VARIABLES`] lists the
//! names, and `docs/operator/environment.md` documents each.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use otel_usage_schema::{Contract, Directory, Origin};

#[cfg(feature = "http")]
use super::shown;
#[cfg(feature = "http")]
use crate::spool::place::Refused;

/// The environment variables that this crate reads, beside those that a contract names.
pub const VARIABLES: &[&str] = &[
    // Consent.
    "DO_NOT_TRACK",
    "OTEL_SDK_DISABLED",
    "OTEL_USAGE_MODE",
    "CI",
    "GITHUB_ACTIONS",
    "GITLAB_CI",
    "JENKINS_URL",
    "BUILDKITE",
    // The configuration file.
    "OTEL_USAGE_CONFIG",
    // Where configuration and local files live.
    "HOME",
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
    "OTEL_USAGE_SPOOL_DIR",
    "OTEL_USAGE_RECEIPTS",
    // Exporters.
    "OTEL_USAGE_EXPORTERS",
    "OTEL_USAGE_FILE",
    // Of the Python package.
    "OTEL_USAGE_CONTRACT",
    "OTEL_USAGE_TAKE_OVER",
    // Content.
    "OTEL_USAGE_OMIT",
    "OTEL_USAGE_OTLP_ENDPOINT",
    "OTEL_USAGE_OTLP_HEADERS",
    "OTEL_USAGE_OTLP_PROTOCOL",
    "OTEL_USAGE_OTLP_COMPRESSION",
    "OTEL_USAGE_OTLP_TIMEOUT",
    "OTEL_USAGE_OTLP_CERTIFICATE",
    "OTEL_USAGE_OTLP_CLIENT_CERTIFICATE",
    "OTEL_USAGE_OTLP_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
    // Certificates to trust, in this order.
    "OTEL_USAGE_REQUIRE_TLS",
    "OTEL_USAGE_CA_FILE",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    // Proxies, lower case before upper case.
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
];

/// A snapshot of the environment variables that this crate, its detectors and a contract name.
///
/// Its `Debug` form shows names only, because the values hold passwords.
#[derive(Clone, Default)]
pub struct Env {
    values: BTreeMap<String, OsString>,
    /// The list of users, if it is another than that of the system.
    passwd: Option<PathBuf>,
    /// Whether the snapshot is that of this process.
    #[cfg_attr(
        not(feature = "config-file"),
        expect(dead_code, reason = "for variables that a file names")
    )]
    process: bool,
}

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Env {
    /// Reads the environment of this process.
    #[must_use]
    pub fn process(contract: &Contract) -> Self {
        let names = VARIABLES.iter().chain(crate::detectors::VARIABLES).copied();
        Self::read(names.chain(contract.variables()))
    }

    /// Reads the variables of [`detectors::VARIABLES`](crate::detectors::VARIABLES) only.
    #[must_use]
    pub fn of_machine() -> Self {
        Self::read(crate::detectors::VARIABLES.iter().copied())
    }

    fn read<'name>(names: impl Iterator<Item = &'name str>) -> Self {
        let values = names
            .filter_map(|name| {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the only place that reads the environment"
                )]
                let value = std::env::var_os(name)?;
                Some((name.to_owned(), value))
            })
            .collect();
        Self { values, process: true, passwd: None }
    }

    /// Returns a snapshot of the given variables, for tests and for tools that ask "what if".
    #[must_use]
    pub fn given<K: Into<String>, V: Into<OsString>>(
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let values = variables.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        Self { values, process: false, passwd: None }
    }

    /// Adds a variable.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<OsString>) -> Self {
        self.values.insert(name.into(), value.into());
        self
    }

    /// Returns whether the variable is set, to any value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    fn os(&self, name: &str) -> Option<&OsStr> {
        self.values.get(name).map(OsString::as_os_str)
    }

    /// Returns the value as text. A value that is not UTF-8 keeps its readable part, so that a switch
    /// with a damaged value is still a switch.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.os(name).map(|value| value.to_string_lossy().into_owned())
    }

    /// Returns the value of a variable that a configuration file names. It may be outside the snapshot
    /// and is then read now, on the initialising thread.
    #[cfg(feature = "config-file")]
    pub(crate) fn look_up(&self, name: &str) -> Option<String> {
        #[expect(clippy::disallowed_methods, reason = "the only place that reads the environment")]
        let live = || self.process.then(|| std::env::var_os(name)).flatten();
        let value = self.os(name).map(OsStr::to_owned).or_else(live)?;
        Some(value.to_string_lossy().into_owned())
    }

    /// Returns the value trimmed and in lower case, as switches are compared.
    pub(crate) fn word(&self, name: &str) -> Option<String> {
        self.text(name).map(|value| value.trim().to_ascii_lowercase())
    }

    /// Returns the value as text, or `None` if it is blank.
    pub(crate) fn filled(&self, name: &str) -> Option<String> {
        self.text(name).filter(|value| !value.trim().is_empty())
    }

    /// Returns the first of `names` that has a value, with that value.
    pub(crate) fn first_filled(&self, names: &[&'static str]) -> Option<(&'static str, String)> {
        names.iter().find_map(|name| Some((*name, self.filled(name)?)))
    }

    /// Returns the variables whose values are text, as
    /// [`Machine::live`](crate::detectors::Machine::live) takes them.
    pub fn pairs(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.values
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.to_str()?.to_owned())))
    }

    /// Returns a snapshot of which another file lists the users.
    #[cfg(test)]
    pub(crate) fn with_passwd(mut self, passwd: &Path) -> Self {
        self.passwd = Some(passwd.to_owned());
        self
    }

    /// Returns the user's home directory: `HOME`, else the user's line in `/etc/passwd`.
    ///
    /// The file is read instead of asking the name service, because such a look-up may open sockets
    /// before consent is known. The Python clients look for their opt-out in the same directory.
    #[must_use]
    pub fn home(&self) -> Option<PathBuf> {
        self.find_home().ok()
    }

    /// Returns the home directory as [`Env::home`] does.
    ///
    /// # Errors
    ///
    /// The reason why it is unknown. An opt-out may then stand where it cannot be seen.
    pub(crate) fn find_home(&self) -> Result<PathBuf, String> {
        if let Some(home) = self.os("HOME").map(Path::new).filter(|home| is_home(home)) {
            return Ok(home.to_owned());
        }
        let path = self.passwd.as_deref().unwrap_or_else(|| Path::new("/etc/passwd"));
        let shown = path.display();
        let user = crate::sys::user_id();
        // Names of other users need not be UTF-8.
        let passwd = std::fs::read(path).map_err(|error| format!("{shown}: {error}"))?;
        home_of(&passwd, user).ok_or_else(|| format!("{shown} has no line for the user {user}"))
    }

    /// Returns what is wrong with `HOME` if it is set and no home directory.
    pub(crate) fn note_of_home(&self) -> Option<String> {
        let given = self.os("HOME").map(Path::new).filter(|home| !is_home(home))?;
        let what = if given.as_os_str().is_empty() { "empty" } else { "no absolute path" };
        let instead = self.home()?;
        let instead = instead.display();
        Some(format!("HOME is {what}, so that {instead} of /etc/passwd is used instead; set HOME"))
    }

    /// Returns `${XDG_CONFIG_HOME:-~/.config}`.
    pub(crate) fn config_home(&self) -> Option<PathBuf> {
        match self.os("XDG_CONFIG_HOME") {
            Some(path) if !path.is_empty() => Some(PathBuf::from(path)),
            _ => Some(below(&self.home()?, &[".config"])),
        }
    }

    /// Returns our own folder, in which the switches of every engine are.
    pub(crate) fn own_folder(&self) -> Option<PathBuf> {
        Some(below(&self.config_home()?, &["otel-usage"]))
    }

    /// Returns the folder of messages that wait on disk.
    ///
    /// # Errors
    ///
    /// They wait in memory only.
    #[cfg(feature = "http")]
    pub(crate) fn spool(&self) -> Result<PathBuf, Refused> {
        let refused = |why: String, is_mistake| Err(Refused { why, is_mistake });
        if cfg!(not(unix)) {
            let why = "this system has no lock that a process loses when it is killed";
            return refused(why.to_owned(), false);
        }
        let named = self.os("OTEL_USAGE_SPOOL_DIR");
        if let Some(path) = named.filter(|path| !path.to_string_lossy().trim().is_empty()) {
            if path.to_string_lossy().trim().eq_ignore_ascii_case("none") {
                return refused("OTEL_USAGE_SPOOL_DIR is `none`".to_owned(), false);
            }
            let folder = self.expand(path);
            if folder.is_absolute() {
                return Ok(folder);
            }
            let why = format!(
                "OTEL_USAGE_SPOOL_DIR is `{}`, which is not an absolute path; write one that begins with / or \
                 ~/, or `none`",
                shown(&path.to_string_lossy())
            );
            return refused(why, true);
        }
        match self.state_home() {
            Some(folder) => Ok(folder),
            None => refused("no home directory is known".to_owned(), false),
        }
    }

    /// Returns `${XDG_STATE_HOME:-~/.local/state}/otel-usage`.
    pub(crate) fn state_home(&self) -> Option<PathBuf> {
        // The specification of these folders ignores a relative one.
        let state = self.os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        match state {
            Some(state) => Some(below(&state, &["otel-usage"])),
            None => Some(below(&self.home()?, &[".local/state", "otel-usage"])),
        }
    }

    /// Returns the directory in which an engine keeps its configuration.
    pub(crate) fn directory(&self, directory: &Directory) -> Option<PathBuf> {
        match directory {
            Directory::None => None,
            Directory::Home(name) => Some(below(&self.home()?, &[".config", name.as_ref()])),
            Directory::Xdg { variable, name } => {
                // The path is not converted to text, because it need not be UTF-8.
                let path = variable.as_ref().and_then(|variable| self.os(variable));
                match path.filter(|path| !path.to_string_lossy().trim().is_empty()) {
                    Some(path) if Path::new(path).starts_with("~") && self.home().is_none() => None,
                    Some(path) => Some(self.expand(path)),
                    None => Some(self.config_home()?.join(name.as_ref())),
                }
            }
        }
    }

    /// Returns the file with the identity of the machine. `None` if the contract sends none.
    #[must_use]
    pub fn machine_id_file(&self, contract: &Contract) -> Option<PathBuf> {
        let mut origins = contract.attributes.iter().map(|attribute| &attribute.origin);
        origins.find(|origin| **origin == Origin::MachineId)?;
        Some(self.directory(&contract.directory)?.join(crate::detectors::MACHINE_ID_FILE))
    }

    /// Replaces a leading `~` of `path` by the home directory.
    pub(crate) fn expand(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        match (path.strip_prefix("~"), self.home()) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => path.to_owned(),
        }
    }
}

/// An empty `HOME` would put files at `/`, and a relative one wherever the engine happens to be started.
fn is_home(path: &Path) -> bool {
    !path.as_os_str().is_empty() && (cfg!(not(unix)) || path.is_absolute())
}

/// Returns the path of `names` below `folder`, in one piece of memory, because a start makes some of them.
fn below(folder: &Path, names: &[&str]) -> PathBuf {
    let bytes = names.iter().map(|name| name.len().saturating_add(1));
    let bytes = bytes.fold(folder.as_os_str().len(), usize::saturating_add);
    let mut path = PathBuf::with_capacity(bytes);
    path.push(folder);
    path.extend(names);
    path
}

fn home_of(passwd: &[u8], user: u32) -> Option<PathBuf> {
    passwd.split(|byte| *byte == b'\n').find_map(|line| {
        let mut parts = line.split(|byte| *byte == b':');
        let id: u32 = std::str::from_utf8(parts.nth(2)?).ok()?.parse().ok()?;
        let home = parts.nth(2)?;
        (id == user && !home.is_empty()).then(|| path(home)).flatten()
    })
}

#[cfg(unix)]
fn path(bytes: &[u8]) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    Some(PathBuf::from(OsStr::from_bytes(bytes)))
}

#[cfg(not(unix))]
fn path(bytes: &[u8]) -> Option<PathBuf> {
    std::str::from_utf8(bytes).ok().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_falls_back_to_passwd() {
        let passwd = b"root:x:0:0:root:/root:/bin/bash\nm\xfcller:x:1000:44:M\xfcller:/home/m\xfcller:/bin/sh\n\
            bad line\nvllm:x:2000:44::/srv/vllm:/bin/sh";
        assert_eq!(home_of(passwd, 2000), Some(PathBuf::from("/srv/vllm")));
        assert_eq!(home_of(passwd, 7), None);
    }

    #[cfg(unix)]
    #[test]
    fn an_empty_or_relative_home_is_none_and_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let passwd = folder.path().join("passwd");
        let user = crate::sys::user_id();
        std::fs::write(&passwd, format!("me:x:{user}:0::/home/me:/bin/sh\n")).unwrap();
        for home in ["", "here"] {
            let env = Env::given([("HOME", home)]).with_passwd(&passwd);
            assert_eq!(env.home(), Some(PathBuf::from("/home/me")), "{home}");
            let note = env.note_of_home().unwrap();
            assert!(note.contains("HOME") && note.contains("/home/me"), "{note}");
        }
        assert_eq!(Env::given([("HOME", "/home/a")]).note_of_home(), None);
        assert_eq!(Env::default().note_of_home(), None);
    }

    #[test]
    fn directories_follow_the_contract() {
        let env = Env::given([("HOME", "/home/a"), ("XDG_CONFIG_HOME", "/x")]);
        let vllm = &otel_usage_schema::vllm::CURRENT.directory;
        let lmcache = &otel_usage_schema::lmcache::V1.directory;
        assert_eq!(env.directory(vllm), Some(PathBuf::from("/x/vllm")));
        assert_eq!(env.directory(lmcache), Some(PathBuf::from("/home/a/.config/lmcache")));
        let env = Env::given([("HOME", "/home/a"), ("VLLM_CONFIG_ROOT", "~/v")]);
        assert_eq!(env.directory(vllm), Some(PathBuf::from("/home/a/v")));
        let env = Env::given([("HOME", "/home/a"), ("XDG_CONFIG_HOME", "")]);
        assert_eq!(env.directory(vllm), Some(PathBuf::from("/home/a/.config/vllm")));
    }

    #[cfg(unix)]
    #[test]
    fn directories_need_not_be_utf_8() {
        use std::os::unix::ffi::OsStrExt as _;
        let given = OsStr::from_bytes(b"~/\xff");
        let env = Env::given([("HOME", OsStr::new("/home/a")), ("VLLM_CONFIG_ROOT", given)]);
        let expected = PathBuf::from(OsStr::from_bytes(b"/home/a/\xff"));
        assert_eq!(env.directory(&otel_usage_schema::vllm::CURRENT.directory), Some(expected));
    }

    #[test]
    fn only_a_leading_tilde_becomes_the_home_directory() {
        let env = Env::given([("HOME", "/home/a")]);
        for (path, expected) in [
            ("~", "/home/a"),
            ("~/b", "/home/a/b"),
            ("~//b", "/home/a/b"),
            ("~b/c", "~b/c"),
            ("/~/b", "/~/b"),
        ] {
            assert_eq!(env.expand(path), PathBuf::from(expected));
        }
    }
}
