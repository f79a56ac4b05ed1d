//! The folders that the environment names: the user's home, those of the switches and of messages that wait, and the
//! engine's own.

use std::path::{Path, PathBuf};

use otel_usage_schema::{Contract, Directory, Origin};

use super::Env;
#[cfg(feature = "http")]
use super::shown;
#[cfg(feature = "http")]
use crate::spool::place::Refused;

impl Env {
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
    use std::ffi::OsStr;
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
        use std::ffi::OsStr;
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
