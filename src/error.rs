//! The one public error: what a programmer got wrong while setting a `Usage` up, or a recorded
//! machine that cannot be read.
//!
//! Mistakes in the environment or in files are never errors (they are one warning, see
//! [`crate::config`]), and recording returns nothing at all.

use std::fmt;
use std::path::{Path, PathBuf};

/// A programmer's mistake in the builder or in a contract table, or a recorded machine that
/// cannot be read.
///
/// The message is a lower-case fragment that reads well after a colon and names the thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A contract table contradicts itself.
    Contract { contract: String, what: String },
    /// A contract file is none.
    ContractFile { what: String },
    /// A recorded machine cannot be read.
    Machine { path: PathBuf, what: String },
    /// An option of the builder cannot be used as given.
    Option { option: &'static str, what: String },
}

impl Error {
    pub(crate) fn contract(contract: &str, what: impl Into<String>) -> Self {
        Self { kind: Kind::Contract { contract: contract.to_owned(), what: what.into() } }
    }

    pub(crate) fn contract_file(what: impl Into<String>) -> Self {
        Self { kind: Kind::ContractFile { what: what.into() } }
    }

    pub(crate) fn option(option: &'static str, what: impl Into<String>) -> Self {
        Self { kind: Kind::Option { option, what: what.into() } }
    }

    pub(crate) fn machine(path: &Path, what: impl Into<String>) -> Self {
        Self { kind: Kind::Machine { path: path.to_owned(), what: what.into() } }
    }

    /// Whether the contract is at fault, not an option of the builder or a recorded machine.
    #[must_use]
    pub const fn is_contract(&self) -> bool {
        matches!(self.kind, Kind::Contract { .. } | Kind::ContractFile { .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Contract { contract, what } => write!(f, "contract `{contract}`: {what}"),
            Kind::ContractFile { what } => write!(f, "contract file: {what}"),
            Kind::Machine { path, what } => write!(f, "machine `{}`: {what}", path.display()),
            Kind::Option { option, what } => write!(f, "option `{option}`: {what}"),
        }
    }
}

impl std::error::Error for Error {}
