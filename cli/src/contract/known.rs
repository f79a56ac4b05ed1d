//! Finds the contracts that are known on this machine: the built-in ones, and contract files in
//! `otel-usage/contracts/` below `$XDG_DATA_HOME` and `$XDG_DATA_DIRS`.
//!
//! A package or `otel-usage contract add` puts a file there; an engine never writes one. A file counts only if it
//! belongs to root or to this user, because another user could otherwise decide what this command shows.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use otel_usage::Contract;
use otel_usage::schema::{lmcache, vllm};
use otel_usage::settings::Env;

use crate::look::within;

/// Longest contract file that is read.
const BYTES: u64 = 4 * 1024 * 1024;
/// Largest number of files that are read in one folder.
const FILES: usize = 256;

/// A contract that is known here.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) contract: Contract,
    /// The file that holds it. `None`: it is built in.
    pub(crate) file: Option<PathBuf>,
}

/// The contract files of this machine.
#[derive(Debug, Default)]
pub(crate) struct Installed {
    pub(crate) contracts: Vec<Known>,
    /// A line for each file that does not count.
    pub(crate) mistakes: Vec<String>,
}

impl Installed {
    /// Reads the folders, within a time limit.
    pub(crate) fn read() -> Self {
        within("the files of contracts", Self::read_all)
            .unwrap_or_else(|error| Self { mistakes: vec![error.to_string()], ..Self::default() })
    }

    /// Reads the folders. The first file with an id counts, and the folder of this user comes first.
    fn read_all() -> Self {
        let mut installed = Self::default();
        for folder in own_folder().into_iter().chain(shared_folders()) {
            for path in files(&folder) {
                match read_installed(&path) {
                    Ok(contract) if installed.with_id(&contract.id).is_none() => {
                        installed.contracts.push(Known { contract, file: Some(path) });
                    }
                    Ok(_) => {}
                    Err(error) => installed.mistakes.push(format!("{error:#}")),
                }
            }
        }
        installed
    }

    pub(crate) fn with_id(&self, id: &str) -> Option<&Known> {
        self.contracts.iter().find(|known| known.contract.id == id)
    }

    /// Returns the contract with this id, or else the only one of this engine.
    ///
    /// # Errors
    ///
    /// The engine has several contracts.
    pub(crate) fn named(&self, word: &str) -> Result<Option<&Known>, String> {
        if let Some(known) = self.with_id(word) {
            return Ok(Some(known));
        }
        let of_engine: Vec<&Known> =
            self.contracts.iter().filter(|known| known.contract.system == word).collect();
        if of_engine.len() > 1 {
            let ids: Vec<&str> = of_engine.iter().map(|known| known.contract.id.as_ref()).collect();
            return Err(format!("{word} has several contracts: name one of {}", ids.join(", ")));
        }
        Ok(of_engine.first().copied())
    }

    /// Returns `contracts` and the installed ones. An installed contract replaces a built-in one of its id.
    fn beside(self, contracts: &[&Contract]) -> Vec<Known> {
        let mut all: Vec<Known> = contracts
            .iter()
            .filter(|contract| self.with_id(&contract.id).is_none())
            .map(|contract| Known { contract: (*contract).clone(), file: None })
            .collect();
        all.extend(self.contracts);
        all
    }

    /// Returns every contract that is known here.
    pub(crate) fn every_contract(self) -> Vec<Known> {
        self.beside(&Contract::built_in())
    }

    /// Returns what each engine known here uses: the current built-in contracts and the installed ones.
    pub(crate) fn every_engine(self) -> Vec<Known> {
        self.beside(&[&vllm::CURRENT, &lmcache::V1])
    }
}

/// Returns the folder of this user's contract files. `None`: no home directory is known.
pub(crate) fn own_folder() -> Option<PathBuf> {
    let data = absolute(variable("XDG_DATA_HOME")).or_else(|| {
        let home = Env::process(&vllm::CURRENT).home()?;
        Some(home.join(".local/share"))
    });
    data.map(contracts_below)
}

/// Returns the folders that all users share, the most important one first.
fn shared_folders() -> Vec<PathBuf> {
    let list = variable("XDG_DATA_DIRS").filter(|list| !list.is_empty());
    let list = list.unwrap_or_else(|| OsString::from("/usr/local/share:/usr/share"));
    std::env::split_paths(&list)
        .filter_map(|path| absolute(Some(path.into_os_string())))
        .map(contracts_below)
        .collect()
}

fn contracts_below(data: PathBuf) -> PathBuf {
    data.join("otel-usage/contracts")
}

/// The XDG specification says that a relative path is ignored.
fn absolute(path: Option<OsString>) -> Option<PathBuf> {
    path.map(PathBuf::from).filter(|path| path.is_absolute())
}

fn variable(name: &str) -> Option<OsString> {
    #[expect(
        clippy::disallowed_methods,
        reason = "engines do not read these, so the library does not"
    )]
    std::env::var_os(name)
}

/// Returns the contract files of a folder in the order of their names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    files.truncate(FILES);
    files
}

/// Reads a contract file that the user names.
pub(crate) fn from_file(path: &Path) -> anyhow::Result<Contract> {
    let file = File::open(path).with_context(|| {
        format!("{} cannot be read: check the path and its permissions", path.display())
    })?;
    parse(file, path)
}

fn read_installed(path: &Path) -> anyhow::Result<Contract> {
    let shown = path.display();
    let unread = || format!("{shown} cannot be read: correct its permissions, or remove it");
    let mut options = OpenOptions::new();
    options.read(true);
    // A pipe in this place must not block the command.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        rustix::fs::OFlags::NONBLOCK.bits().cast_signed(),
    );
    let file = options.open(path).with_context(unread)?;
    let metadata = file.metadata().with_context(unread)?;
    if !metadata.is_file() {
        bail!("{shown} is not a regular file: remove it");
    }
    if !is_trusted(&metadata) {
        bail!("{shown} belongs to another user and does not count: root or you must own it");
    }
    parse(file, path)
}

#[cfg(unix)]
fn is_trusted(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let owner = metadata.uid();
    owner == 0 || owner == rustix::process::geteuid().as_raw()
}

#[cfg(not(unix))]
fn is_trusted(_: &fs::Metadata) -> bool {
    true
}

fn parse(file: File, path: &Path) -> anyhow::Result<Contract> {
    let shown = path.display();
    let mut bytes = Vec::new();
    let read = file.take(BYTES.saturating_add(1)).read_to_end(&mut bytes);
    read.with_context(|| format!("{shown} cannot be read: check the path and its permissions"))?;
    if bytes.len() as u64 > BYTES {
        bail!("{shown} is not a valid contract file: it is longer than {BYTES} bytes");
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| anyhow!("{shown} is not a valid contract file: it is not UTF-8"))?;
    Contract::from_json(&text).with_context(|| {
        format!("{shown} is not a valid contract file: write it with Contract::to_json")
    })
}
