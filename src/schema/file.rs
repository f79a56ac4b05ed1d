//! A contract as one JSON file, for programs that were not built with it.
//!
//! In: a [`Contract`]. Out: its text; and back. `otel-usage preview`, `schema` and `bridge` take such a
//! file by `--contract-file`.

use serde::{Deserialize, Serialize};

use super::{CompiledContract, Contract};
use crate::error::Error;

/// Version of the form. A reader refuses what is newer, because what it does not know might be what
/// protects somebody.
const FORMAT: u32 = 1;

/// Longest file that is read. The largest contract built in takes 40 kB.
const BYTES: usize = 4 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct File<C> {
    format: u32,
    contract: C,
}

impl Contract {
    /// The contract as a JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        // A table of texts, numbers and lists: there is nothing that JSON cannot say.
        let file = File { format: FORMAT, contract: self };
        serde_json::to_string_pretty(&file).unwrap_or_default() + "\n"
    }

    /// The contract that [`Contract::to_json`] wrote, checked.
    ///
    /// # Errors
    ///
    /// When the text is no contract of a known format, or one that contradicts itself.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        if text.len() > BYTES {
            return Err(Error::contract_file(format!("it is longer than {BYTES} bytes")));
        }
        let version: File<serde::de::IgnoredAny> =
            serde_json::from_str(text).map_err(|error| Error::contract_file(error.to_string()))?;
        if version.format != FORMAT {
            return Err(Error::contract_file(format!(
                "it has format {}, and this version reads format {FORMAT}",
                version.format
            )));
        }
        let file: File<Self> =
            serde_json::from_str(text).map_err(|error| Error::contract_file(error.to_string()))?;
        CompiledContract::new(&file.contract)?;
        Ok(file.contract)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_contract_comes_back_as_it_was() {
        for contract in Contract::built_in() {
            let text = contract.to_json();
            assert_eq!(&Contract::from_json(&text).unwrap(), contract, "{}", contract.id);
        }
    }

    #[test]
    fn what_is_no_contract_is_said_in_one_line() {
        let good = super::super::lmcache::LEGACY.to_json();
        for (bad, names) in [
            (String::new(), "line 1"),
            ("{}".to_owned(), "format"),
            (good.replacen("\"format\": 1", "\"format\": 2", 1), "format 2"),
            (good.replacen("\"sanitize\"", "\"sanitise\"", 1), "sanitise"),
            (good.replacen("scheme_only", "scheme_maybe", 1), "scheme_maybe"),
            (good.replacen("\"type\": \"int\"", "\"type\": \"number\"", 1), "number"),
            (good.replacen("\"name\": \"num_cpu\"", "\"name\": \"provider\"", 1), "provider"),
            ("x".repeat(BYTES + 1), "longer"),
        ] {
            let error = Contract::from_json(&bad).unwrap_err().to_string();
            assert!(error.contains(names), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
