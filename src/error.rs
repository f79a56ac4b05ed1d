//! The public error: a mistake of the programmer who sets reporting up.
//!
//! Mistakes in the environment or in files are one warning each and never an error, and recording
//! returns nothing at all.

use std::fmt;

use otel_usage_schema::ContractError;

/// A mistake in the builder or in a contract.
///
/// The message is a lower-case fragment that reads well after a colon and names the thing.
///
/// # Examples
///
/// ```
/// use otel_usage::{Contract, Usage};
///
/// let contract = Contract::new("", "my_engine");
/// let error = Usage::builder(&contract).try_init().unwrap_err();
/// assert!(error.is_contract());
/// assert_eq!(error.to_string(), "contract ``: it needs an id and a system");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// The contract's tables contradict each other.
    Contract(ContractError),
    /// An option of the builder cannot be used as given.
    Option { option: &'static str, what: String },
}

impl Error {
    pub(crate) fn option(option: &'static str, what: impl Into<String>) -> Self {
        Self { kind: Kind::Option { option, what: what.into() } }
    }

    /// Returns whether the contract is wrong, and not an option of the builder.
    #[must_use]
    pub const fn is_contract(&self) -> bool {
        matches!(self.kind, Kind::Contract(_))
    }
}

impl From<ContractError> for Error {
    fn from(error: ContractError) -> Self {
        Self { kind: Kind::Contract(error) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Contract(error) => error.fmt(f),
            Kind::Option { option, what } => write!(f, "option `{option}`: {what}"),
        }
    }
}

impl std::error::Error for Error {}
