//! The mistakes that a contract can have.

use std::fmt;

/// A contract whose tables contradict each other, or a contract file that cannot be read.
///
/// The message is a lower-case fragment that reads well after a colon and names the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractError {
    /// The contract's id. `None` if the text is not a valid contract file.
    contract: Option<String>,
    what: String,
}

impl ContractError {
    pub(crate) fn new(contract: &str, what: impl Into<String>) -> Self {
        Self { contract: Some(contract.to_owned()), what: what.into() }
    }

    pub(crate) fn file(what: impl Into<String>) -> Self {
        Self { contract: None, what: what.into() }
    }
}

impl fmt::Display for ContractError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.contract {
            Some(contract) => write!(f, "contract `{contract}`: {}", self.what),
            None => write!(f, "contract file: {}", self.what),
        }
    }
}

impl std::error::Error for ContractError {}
