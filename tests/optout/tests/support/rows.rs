//! The consent table: each way to switch collection off, in each spelling, and the engines that it concerns.
//!
//! `cargo xtask demo silence` shows the same rows.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use Engines::{Every, Lmcache, Nobody, Own, Vllm};

/// Every engine that `optout` can play, each with its contract.
pub(crate) const ENGINES: [&str; 5] =
    ["vllm/current", "vllm/0.4.0", "lmcache/1", "lmcache/doc", "own"];

/// The engines that a row concerns.
#[derive(Clone, Copy)]
pub(crate) enum Engines {
    Every,
    Lmcache,
    Nobody,
    Own,
    Vllm,
}

impl Engines {
    pub(crate) fn contain(self, engine: &str) -> bool {
        match self {
            Self::Every => true,
            Self::Lmcache => engine.starts_with("lmcache/"),
            Self::Nobody => false,
            Self::Own => engine == "own",
            Self::Vllm => engine.starts_with("vllm/"),
        }
    }
}

/// One step of an operator. Paths are below the home directory.
pub(crate) enum Given {
    Directory(&'static [u8]),
    /// Sets a variable. `$HOME` at the beginning of its value stands for the temporary home.
    Env(&'static str, &'static [u8]),
    File(&'static [u8], &'static [u8]),
    /// Makes a symbolic link with this target.
    Link(&'static [u8], &'static str),
    /// Removes all permissions from a file or directory.
    Locked(&'static [u8]),
    Pipe(&'static [u8]),
    /// Sets the engine's own consent in the builder.
    Word(&'static str),
}

impl Given {
    /// Does what the operator does to the files below `home`.
    pub(crate) fn apply(&self, home: &Path) -> io::Result<()> {
        let path = |bytes: &[u8]| {
            let path = home.join(OsStr::from_bytes(bytes));
            fs::create_dir_all(path.parent().unwrap_or(home)).map(|()| path)
        };
        match self {
            Self::Directory(at) => fs::create_dir_all(path(at)?),
            Self::Env(..) | Self::Word(_) => Ok(()),
            Self::File(at, text) => fs::write(path(at)?, text),
            Self::Link(at, to) => symlink(to, path(at)?),
            Self::Locked(at) => fs::set_permissions(path(at)?, Permissions::from_mode(0o0)),
            Self::Pipe(at) => match Command::new("mkfifo").arg(path(at)?).status()?.success() {
                true => Ok(()),
                false => Err(io::Error::other("mkfifo failed")),
            },
        }
    }

    /// Returns the variable that the operator sets, if it is one.
    pub(crate) fn variable(&self, home: &Path) -> Option<(&'static str, OsString)> {
        let Self::Env(name, value) = self else { return None };
        let value = match value.strip_prefix(b"$HOME") {
            Some(rest) => [home.as_os_str().as_bytes(), rest].concat(),
            None => value.to_vec(),
        };
        Some((name, OsString::from_vec(value)))
    }
}

/// A row of the consent table: the engines, the reason that is shown, and the steps of the operator.
pub(crate) struct Row {
    pub(crate) engines: Engines,
    pub(crate) because: &'static str,
    pub(crate) given: &'static [Given],
}

// Short names, so that a row fits a line.

pub(crate) const fn row(engines: Engines, because: &'static str, given: &'static [Given]) -> Row {
    Row { engines, because, given }
}

pub(crate) const fn env(name: &'static str, value: &'static [u8]) -> Given {
    Given::Env(name, value)
}

pub(crate) const fn file(path: &'static str, text: &'static [u8]) -> Given {
    Given::File(path.as_bytes(), text)
}

pub(crate) const fn directory(path: &'static str) -> Given {
    Given::Directory(path.as_bytes())
}

pub(crate) const fn link(path: &'static str, to: &'static str) -> Given {
    Given::Link(path.as_bytes(), to)
}

pub(crate) const fn locked(path: &'static str) -> Given {
    Given::Locked(path.as_bytes())
}

pub(crate) const fn pipe(path: &'static str) -> Given {
    Given::Pipe(path.as_bytes())
}

pub(crate) const fn word(consent: &'static str) -> Given {
    Given::Word(consent)
}

impl Row {
    /// Returns the options of `optout` for the row.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        self.given.iter().flat_map(|given| match given {
            Given::Word(word) => vec!["--consent", *word],
            _ => vec![],
        })
    }

    pub(crate) fn shown(&self) -> String {
        let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let words: Vec<String> = self
            .given
            .iter()
            .map(|given| match given {
                Given::Directory(path) => format!("{}/", shown(path)),
                Given::Env(name, value) => format!("{name}='{}'", shown(value)),
                Given::File(path, text) => format!("{} holding '{}'", shown(path), shown(text)),
                Given::Link(path, to) => format!("{} -> {to}", shown(path)),
                Given::Locked(path) => format!("{} locked", shown(path)),
                Given::Pipe(path) => format!("{} a pipe", shown(path)),
                Given::Word(word) => format!("the builder saying {word}"),
            })
            .collect();
        if words.is_empty() { "nothing set".to_owned() } else { words.join(", ") }
    }
}

/// The reason that `status` shows if the builder decided.
const ENGINE: &str = "the engine itself";
const MARKER: &str = ".config/otel-usage/do_not_track";
const MODE: &str = ".config/otel-usage/mode";
const VLLM_MARKER: &str = ".config/vllm/do_not_track";
const LMCACHE_MARKER: &str = ".config/lmcache/do_not_track";

/// Variables that switch every engine off.
#[rustfmt::skip]
pub(crate) const FOR_EVERY_ENGINE: &[Row] = &[
    // The variable counts with any value.
    row(Every, "DO_NOT_TRACK", &[env("DO_NOT_TRACK", b"1")]),
    row(Every, "DO_NOT_TRACK", &[env("DO_NOT_TRACK", b"true")]),
    row(Every, "DO_NOT_TRACK", &[env("DO_NOT_TRACK", b"")]),
    row(Every, "DO_NOT_TRACK", &[env("DO_NOT_TRACK", b" ")]),
    row(Every, "DO_NOT_TRACK", &[env("DO_NOT_TRACK", b"0")]),
    row(Every, "DO_NOT_TRACK", &[env("DO_NOT_TRACK", b"false")]),
    row(Every, "DO_NOT_TRACK", &[env("DO_NOT_TRACK", b"no")]),
    row(Every, "DO_NOT_TRACK", &[env("DO_NOT_TRACK", b"off")]),
    row(Every, "DO_NOT_TRACK", &[env("DO_NOT_TRACK", b"\xff\xfe")]),
    // Every value except `on` and `local`; words that are no mode stand in `WORDS_THAT_ARE_NO_MODE`.
    row(Every, "OTEL_USAGE_MODE", &[env("OTEL_USAGE_MODE", b"off")]),
    row(Every, "OTEL_USAGE_MODE", &[env("OTEL_USAGE_MODE", b"OFF")]),
    row(Every, "OTEL_USAGE_MODE", &[env("OTEL_USAGE_MODE", b" off ")]),
    row(Every, "OTEL_USAGE_MODE", &[env("OTEL_USAGE_MODE", b"")]),
    row(Every, "OTEL_USAGE_MODE", &[env("OTEL_USAGE_MODE", b" ")]),
    row(Every, "OTEL_USAGE_MODE", &[env("OTEL_USAGE_MODE", b"0")]),
    row(Every, "OTEL_USAGE_MODE", &[env("OTEL_USAGE_MODE", b"false")]),
    row(Every, "OTEL_USAGE_MODE", &[env("OTEL_USAGE_MODE", b"No")]),
    // Every value except those for no.
    row(Every, "OTEL_SDK_DISABLED", &[env("OTEL_SDK_DISABLED", b"true")]),
    row(Every, "OTEL_SDK_DISABLED", &[env("OTEL_SDK_DISABLED", b"TRUE")]),
    row(Every, "OTEL_SDK_DISABLED", &[env("OTEL_SDK_DISABLED", b" true ")]),
    row(Every, "OTEL_SDK_DISABLED", &[env("OTEL_SDK_DISABLED", b"1")]),
    row(Every, "OTEL_SDK_DISABLED", &[env("OTEL_SDK_DISABLED", b"yes")]),
    row(Every, "OTEL_SDK_DISABLED", &[env("OTEL_SDK_DISABLED", b"on")]),
    row(Every, "OTEL_SDK_DISABLED", &[env("OTEL_SDK_DISABLED", b"maybe")]),
    row(Every, "OTEL_SDK_DISABLED", &[env("OTEL_SDK_DISABLED", b"\xff")]),
];

/// Words that switch every engine off because they are no mode, which is worth a warning.
#[rustfmt::skip]
pub(crate) const WORDS_THAT_ARE_NO_MODE: &[Row] = &[
    row(Every, "OTEL_USAGE_MODE", &[env("OTEL_USAGE_MODE", b"1")]),
    row(Every, "OTEL_USAGE_MODE", &[env("OTEL_USAGE_MODE", b"true")]),
    row(Every, "OTEL_USAGE_MODE", &[env("OTEL_USAGE_MODE", b"onn")]),
    row(Every, "OTEL_USAGE_MODE", &[env("OTEL_USAGE_MODE", b"o\xffn")]),
];

/// Variables of one engine, which do not concern other engines.
#[rustfmt::skip]
pub(crate) const FOR_ONE_ENGINE: &[Row] = &[
    row(Vllm, "VLLM_NO_USAGE_STATS", &[env("VLLM_NO_USAGE_STATS", b"1")]),
    row(Vllm, "VLLM_NO_USAGE_STATS", &[env("VLLM_NO_USAGE_STATS", b"true")]),
    row(Vllm, "VLLM_NO_USAGE_STATS", &[env("VLLM_NO_USAGE_STATS", b"")]),
    row(Vllm, "VLLM_NO_USAGE_STATS", &[env("VLLM_NO_USAGE_STATS", b"0")]),
    row(Vllm, "VLLM_NO_USAGE_STATS", &[env("VLLM_NO_USAGE_STATS", b"false")]),
    row(Vllm, "VLLM_NO_USAGE_STATS", &[env("VLLM_NO_USAGE_STATS", b"\xff")]),
    row(Vllm, "VLLM_DO_NOT_TRACK", &[env("VLLM_DO_NOT_TRACK", b"1")]),
    row(Vllm, "VLLM_DO_NOT_TRACK", &[env("VLLM_DO_NOT_TRACK", b"true")]),
    row(Vllm, "VLLM_DO_NOT_TRACK", &[env("VLLM_DO_NOT_TRACK", b"True")]),
    row(Vllm, "VLLM_DO_NOT_TRACK", &[env("VLLM_DO_NOT_TRACK", b"yes")]),
    row(Vllm, "VLLM_DO_NOT_TRACK", &[env("VLLM_DO_NOT_TRACK", b" on\n")]),
    row(Vllm, "VLLM_DO_NOT_TRACK", &[env("VLLM_DO_NOT_TRACK", b"anything")]),
    row(Vllm, "VLLM_DO_NOT_TRACK", &[env("VLLM_DO_NOT_TRACK", b"\xff")]),
    row(Lmcache, "LMCACHE_TRACK_USAGE", &[env("LMCACHE_TRACK_USAGE", b"false")]),
    row(Lmcache, "LMCACHE_TRACK_USAGE", &[env("LMCACHE_TRACK_USAGE", b"False")]),
    row(Lmcache, "LMCACHE_TRACK_USAGE", &[env("LMCACHE_TRACK_USAGE", b"0")]),
    row(Lmcache, "LMCACHE_TRACK_USAGE", &[env("LMCACHE_TRACK_USAGE", b"no")]),
    row(Lmcache, "LMCACHE_TRACK_USAGE", &[env("LMCACHE_TRACK_USAGE", b"off")]),
    row(Lmcache, "LMCACHE_TRACK_USAGE", &[env("LMCACHE_TRACK_USAGE", b"")]),
    row(Lmcache, "LMCACHE_TRACK_USAGE", &[env("LMCACHE_TRACK_USAGE", b" ")]),
    row(Lmcache, "LMCACHE_TRACK_USAGE", &[env("LMCACHE_TRACK_USAGE", b"maybe")]),
    row(Lmcache, "LMCACHE_TRACK_USAGE", &[env("LMCACHE_TRACK_USAGE", b"\xff")]),
    // Variables of a third engine, in each of the three forms that a contract can declare.
    row(Own, "THIRD_NO_STATS", &[env("THIRD_NO_STATS", b"1")]),
    row(Own, "THIRD_NO_STATS", &[env("THIRD_NO_STATS", b"")]),
    row(Own, "THIRD_NO_STATS", &[env("THIRD_NO_STATS", b"0")]),
    row(Own, "THIRD_STATS", &[env("THIRD_STATS", b"0")]),
    row(Own, "THIRD_STATS", &[env("THIRD_STATS", b"")]),
    row(Own, "THIRD_STATS", &[env("THIRD_STATS", b"maybe")]),
    row(Own, "THIRD_DO_NOT_TRACK", &[env("THIRD_DO_NOT_TRACK", b"1")]),
    row(Own, "THIRD_DO_NOT_TRACK", &[env("THIRD_DO_NOT_TRACK", b"maybe")]),
];

/// Marker files, which count by their existence.
#[rustfmt::skip]
pub(crate) const MARKERS: &[Row] = &[
    row(Every, MARKER, &[file(MARKER, b"")]),
    row(Every, MARKER, &[file(MARKER, b"0\n")]),
    row(Every, MARKER, &[directory(MARKER)]),
    row(Every, MARKER, &[link(MARKER, "nowhere")]),
    row(Every, MARKER, &[pipe(MARKER)]),
    row(Every, MARKER, &[env("XDG_CONFIG_HOME", b""), file(MARKER, b"")]),
    row(Every, "x/otel-usage/do_not_track", &[env("XDG_CONFIG_HOME", b"$HOME/x"), file("x/otel-usage/do_not_track", b"")]),
    row(Every, "otel-usage/do_not_track", &[Given::Env("XDG_CONFIG_HOME", b"$HOME/\xff"), Given::File(b"\xff/otel-usage/do_not_track", b"")]),

    row(Vllm, VLLM_MARKER, &[file(VLLM_MARKER, b"")]),
    row(Vllm, VLLM_MARKER, &[directory(VLLM_MARKER)]),
    row(Vllm, VLLM_MARKER, &[link(VLLM_MARKER, "nowhere")]),
    row(Vllm, "x/vllm/do_not_track", &[env("XDG_CONFIG_HOME", b"$HOME/x"), file("x/vllm/do_not_track", b"")]),
    row(Vllm, "v/do_not_track", &[env("VLLM_CONFIG_ROOT", b"$HOME/v"), file("v/do_not_track", b"")]),
    row(Vllm, "v/do_not_track", &[env("VLLM_CONFIG_ROOT", b"~/v"), file("v/do_not_track", b"")]),
    row(Vllm, "v/do_not_track", &[env("VLLM_CONFIG_ROOT", b"v"), file("v/do_not_track", b"")]),
    row(Vllm, "/do_not_track", &[env("VLLM_CONFIG_ROOT", b"~"), file("do_not_track", b"")]),
    row(Vllm, "/do_not_track", &[Given::Env("VLLM_CONFIG_ROOT", b"$HOME/\xff"), Given::File(b"\xff/do_not_track", b"")]),
    row(Vllm, VLLM_MARKER, &[env("VLLM_CONFIG_ROOT", b""), file(VLLM_MARKER, b"")]),

    row(Lmcache, LMCACHE_MARKER, &[file(LMCACHE_MARKER, b"")]),
    row(Lmcache, LMCACHE_MARKER, &[directory(LMCACHE_MARKER)]),
    row(Lmcache, LMCACHE_MARKER, &[link(LMCACHE_MARKER, "nowhere")]),
    // LMCache does not ask XDG_CONFIG_HOME.
    row(Lmcache, LMCACHE_MARKER, &[env("XDG_CONFIG_HOME", b"$HOME/x"), file(LMCACHE_MARKER, b"")]),

    row(Own, ".config/third/do_not_track", &[file(".config/third/do_not_track", b"")]),
    row(Own, "t/do_not_track", &[env("THIRD_HOME", b"~/t"), file("t/do_not_track", b"")]),

    // Places that are not searched, or do not exist.
    row(Nobody, "", &[env("XDG_CONFIG_HOME", b"$HOME/x"), file(MARKER, b""), file(VLLM_MARKER, b"")]),
    row(Nobody, "", &[env("XDG_CONFIG_HOME", b"$HOME/x"), file("x/lmcache/do_not_track", b"")]),
    row(Nobody, "", &[env("VLLM_CONFIG_ROOT", b"$HOME/v"), file(VLLM_MARKER, b"")]),
    row(Nobody, "", &[file("do_not_track", b"")]),
    // A path through a file cannot exist, so it counts as absent like ENOENT.
    row(Nobody, "", &[file(".config", b"")]),
];

/// The mode file of `otel-usage on|local|off`: every other word than `on` and `local` means off.
#[rustfmt::skip]
pub(crate) const MODE_FILES: &[Row] = &[
    row(Every, "mode file", &[file(MODE, b"off")]),
    row(Every, "mode file", &[file(MODE, b"off\n")]),
    row(Every, "mode file", &[file(MODE, b" off \n")]),
    row(Every, "mode file", &[file(MODE, b"OFF")]),
    row(Every, "mode", &[env("XDG_CONFIG_HOME", b"$HOME/x"), file("x/otel-usage/mode", b"off")]),
    row(Every, "damaged", &[file(MODE, b"")]),
    row(Every, "damaged", &[file(MODE, b"\n")]),
    row(Every, "damaged", &[file(MODE, b"maybe")]),
    row(Every, "damaged", &[file(MODE, b"on\noff\n")]),
    row(Every, "damaged", &[file(MODE, b"on\0")]),
    row(Every, "damaged", &[file(MODE, b"\xff\xfe")]),
    // Longer than the part that is read, whose beginning alone would mean `on`.
    row(Every, "damaged", &[file(MODE, b"on                                                                              off")]),
    row(Every, "cannot be read", &[directory(MODE)]),
    // A pipe without a writer, for which the library must not wait.
    row(Every, "mode file", &[pipe(MODE)]),
    row(Every, "cannot be read", &[link(MODE, "nowhere")]),
    row(Every, "cannot be read", &[link(MODE, "mode")]),
    row(Every, "mode file", &[file("elsewhere", b"off"), link(MODE, "../../elsewhere")]),
    row(Nobody, "", &[file(MODE, b"on")]),
    row(Nobody, "", &[file(MODE, b"on\n")]),
    row(Nobody, "", &[file("elsewhere", b"on"), link(MODE, "../../elsewhere")]),
];

/// Directories that cannot be read, so it is unknown whether a marker is in them.
#[rustfmt::skip]
pub(crate) const UNREADABLE: &[Row] = &[
    row(Every, "cannot be checked", &[link(".config", ".config")]),
    row(Every, "cannot be checked", &[link(".config/otel-usage", "otel-usage")]),
    row(Vllm, "cannot be checked", &[link(".config/vllm", "vllm")]),
    row(Lmcache, "cannot be checked", &[link(".config/lmcache", "lmcache")]),
];

/// Files and directories without permissions. Root may still read them.
#[rustfmt::skip]
pub(crate) const LOCKED: &[Row] = &[
    row(Every, "cannot be read", &[file(MODE, b"on"), locked(MODE)]),
    row(Every, "cannot be checked", &[directory(".config/otel-usage"), locked(".config/otel-usage")]),
    row(Every, "cannot be checked", &[directory(".config"), locked(".config")]),
    row(Vllm, "cannot be checked", &[directory(".config/vllm"), locked(".config/vllm")]),
    row(Vllm, "cannot be checked", &[directory("v"), locked("v"), env("VLLM_CONFIG_ROOT", b"$HOME/v")]),
    row(Lmcache, "cannot be checked", &[directory(".config/lmcache"), locked(".config/lmcache")]),
];

/// An opt-out beside every setting that could switch collection on.
#[rustfmt::skip]
pub(crate) const OFF_BESIDE_ON: &[Row] = &[
    row(Every, "DO_NOT_TRACK", &[env("DO_NOT_TRACK", b"0"), env("OTEL_USAGE_MODE", b"on"), file(MODE, b"on")]),
    row(Every, "OTEL_SDK_DISABLED", &[env("OTEL_SDK_DISABLED", b"true"), env("OTEL_USAGE_MODE", b"on")]),
    row(Every, "OTEL_USAGE_MODE", &[env("OTEL_USAGE_MODE", b"off"), file(MODE, b"on")]),
    row(Every, "OTEL_USAGE_MODE", &[env("OTEL_USAGE_MODE", b"off"), env("OTEL_SDK_DISABLED", b"false")]),
    row(Every, MARKER, &[file(MARKER, b""), env("OTEL_USAGE_MODE", b"on"), file(MODE, b"on")]),
    row(Every, "mode file", &[file(MODE, b"off"), env("OTEL_USAGE_MODE", b"on")]),
    row(Every, "mode file", &[file(MODE, b"off"), env("OTEL_USAGE_MODE", b"local")]),
    row(Every, "mode file", &[file(MODE, b"off"), env("CI", b"true")]),
    row(Every, "DO_NOT_TRACK", &[env("DO_NOT_TRACK", b"1"), env("CI", b"true"), env("VLLM_USAGE_SOURCE", b"ci-test")]),
    row(Every, "DO_NOT_TRACK", &[env("DO_NOT_TRACK", b"1"), env("OTEL_USAGE_EXPORTERS", b"server,otlp,file,console")]),
    row(Every, "DO_NOT_TRACK", &[env("DO_NOT_TRACK", b"1"), env("OTEL_USAGE_OTLP_ENDPOINT", b"http://127.0.0.1:9"), env("OTEL_USAGE_FILE", b"$HOME/here")]),
    // Mistakes that would otherwise give a warning.
    row(Every, "DO_NOT_TRACK", &[env("DO_NOT_TRACK", b"1"), env("OTEL_USAGE_EXPORTERS", b"pigeon"), env("OTEL_EXPORTER_OTLP_ENDPOINT", b"::")]),
    row(Vllm, "VLLM_NO_USAGE_STATS", &[env("VLLM_NO_USAGE_STATS", b"0"), env("VLLM_DO_NOT_TRACK", b"0"), env("OTEL_USAGE_MODE", b"on")]),
    row(Vllm, VLLM_MARKER, &[file(VLLM_MARKER, b""), env("OTEL_USAGE_MODE", b"on"), env("VLLM_USAGE_SOURCE", b"production")]),
    row(Lmcache, "LMCACHE_TRACK_USAGE", &[env("LMCACHE_TRACK_USAGE", b"false"), env("OTEL_USAGE_MODE", b"on")]),
    row(Lmcache, LMCACHE_MARKER, &[file(LMCACHE_MARKER, b""), env("LMCACHE_TRACK_USAGE", b"true"), env("OTEL_USAGE_MODE", b"on")]),
    row(Own, "THIRD_NO_STATS", &[env("THIRD_NO_STATS", b""), env("THIRD_STATS", b"1"), env("OTEL_USAGE_MODE", b"on")]),
];

/// The builder switches collection off, and the operator cannot switch it on.
#[rustfmt::skip]
pub(crate) const ENGINE_SAYS_OFF: &[Row] = &[
    row(Every, ENGINE, &[word("off")]),
    row(Every, ENGINE, &[word("off"), env("OTEL_USAGE_MODE", b"on")]),
    row(Every, ENGINE, &[word("off"), env("OTEL_USAGE_MODE", b"local")]),
    row(Every, ENGINE, &[word("off"), file(MODE, b"on")]),
    row(Every, ENGINE, &[word("off"), env("CI", b"true"), env("VLLM_USAGE_SOURCE", b"ci-test")]),
    // A builder that allows local cannot widen an opt-out.
    row(Every, "DO_NOT_TRACK", &[word("local"), env("DO_NOT_TRACK", b"")]),
    row(Every, "mode file", &[word("local"), file(MODE, b"off")]),
];

/// Spellings that do not switch anything off. Each run must be killed.
#[rustfmt::skip]
pub(crate) const NOT_OFF: &[Row] = &[
    row(Every, "", &[]),
    row(Every, "", &[env("OTEL_USAGE_MODE", b"on")]),
    row(Every, "", &[env("OTEL_USAGE_MODE", b"ON ")]),
    row(Every, "", &[env("OTEL_USAGE_MODE", b"\ton\n")]),
    row(Every, "", &[env("OTEL_SDK_DISABLED", b"false")]),
    row(Every, "", &[env("OTEL_SDK_DISABLED", b"FALSE ")]),
    row(Every, "", &[env("OTEL_SDK_DISABLED", b"0")]),
    row(Every, "", &[env("OTEL_SDK_DISABLED", b"no")]),
    row(Every, "", &[env("OTEL_SDK_DISABLED", b"off")]),
    row(Every, "", &[env("OTEL_SDK_DISABLED", b"")]),
    row(Every, "", &[env("VLLM_DO_NOT_TRACK", b"0")]),
    row(Every, "", &[env("VLLM_DO_NOT_TRACK", b"false")]),
    row(Every, "", &[env("VLLM_DO_NOT_TRACK", b"False")]),
    row(Every, "", &[env("VLLM_DO_NOT_TRACK", b"no")]),
    row(Every, "", &[env("VLLM_DO_NOT_TRACK", b"off")]),
    row(Every, "", &[env("VLLM_DO_NOT_TRACK", b"")]),
    row(Every, "", &[env("LMCACHE_TRACK_USAGE", b"1")]),
    row(Every, "", &[env("LMCACHE_TRACK_USAGE", b"true")]),
    row(Every, "", &[env("LMCACHE_TRACK_USAGE", b"TRUE")]),
    row(Every, "", &[env("LMCACHE_TRACK_USAGE", b"yes")]),
    row(Every, "", &[env("LMCACHE_TRACK_USAGE", b" on ")]),
    row(Every, "", &[env("THIRD_STATS", b"1"), env("THIRD_DO_NOT_TRACK", b"0")]),
    // Variables of OpenTelemetry that are not our switches.
    row(Every, "", &[env("OTEL_TRACES_EXPORTER", b"none"), env("OTEL_TRACES_SAMPLER", b"always_off")]),
];

/// Ways to keep everything on this machine.
#[rustfmt::skip]
pub(crate) const LOCAL: &[Row] = &[
    row(Every, "OTEL_USAGE_MODE", &[env("OTEL_USAGE_MODE", b"local")]),
    row(Every, "OTEL_USAGE_MODE", &[env("OTEL_USAGE_MODE", b" Local\n")]),
    row(Every, "OTEL_USAGE_MODE", &[env("OTEL_USAGE_MODE", b"local"), file(MODE, b"on")]),
    row(Every, "mode file", &[file(MODE, b"local")]),
    row(Every, "mode file", &[file(MODE, b"local\n")]),
    row(Every, "mode file", &[file(MODE, b" Local \n")]),
    row(Every, "mode file", &[file(MODE, b"local"), env("OTEL_USAGE_MODE", b"on")]),
    row(Every, ENGINE, &[word("local")]),
    row(Every, ENGINE, &[word("local"), env("OTEL_USAGE_MODE", b"on")]),
    row(Every, "OTEL_USAGE_MODE", &[env("OTEL_USAGE_MODE", b"local"), env("OTEL_USAGE_OTLP_ENDPOINT", b"http://127.0.0.1:9")]),
];

/// Continuous integration keeps everything on its machine.
#[rustfmt::skip]
pub(crate) const CI: &[Row] = &[
    row(Every, "variable CI:", &[env("CI", b"true")]),
    row(Every, "variable CI:", &[env("CI", b"1")]),
    row(Every, "variable CI:", &[env("CI", b" TRUE ")]),
    row(Every, "variable CI:", &[env("CI", b"woodpecker")]),
    row(Every, "GITHUB_ACTIONS", &[env("GITHUB_ACTIONS", b"true")]),
    row(Every, "GITLAB_CI", &[env("GITLAB_CI", b"true")]),
    row(Every, "JENKINS_URL", &[env("JENKINS_URL", b"https://jenkins.example/")]),
    row(Every, "BUILDKITE", &[env("BUILDKITE", b"true")]),
    // A mode file may be old, so only a variable of this job widens the consent.
    row(Every, "variable CI:", &[env("CI", b"true"), file(MODE, b"on")]),
    row(Every, "variable CI:", &[env("CI", b"true"), env("VLLM_USAGE_SOURCE", b"")]),
    // vLLM's CI names itself as the source and wants its messages. Other engines ignore that variable.
    row(Nobody, "", &[env("CI", b"true"), env("OTEL_USAGE_MODE", b"on")]),
    row(Nobody, "", &[env("GITHUB_ACTIONS", b"true"), env("OTEL_USAGE_MODE", b"on")]),
    row(Nobody, "", &[env("CI", b"false")]),
    row(Nobody, "", &[env("CI", b"0")]),
    row(Nobody, "", &[env("CI", b"")]),
    row(Nobody, "", &[env("GITHUB_ACTIONS", b"false")]),
];
