//! Writes a contract as one JSON file and reads it back, for programs that were not built with it.
//!
//! `otel-usage preview`, `schema` and `bridge` take such a file by `--contract-file`.

use serde::{Deserialize, Serialize};

use crate::{CompiledContract, Contract, ContractError};

/// Version of the format. A reader refuses a newer one, because a key that it does not know may
/// protect somebody.
const FORMAT: u32 = 1;

/// Longest file that is read. The largest built-in contract takes 40 kB.
const BYTES: usize = 4 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct File<C> {
    format: u32,
    contract: C,
}

impl Contract {
    /// Returns the contract as JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Serialising cannot fail: the tables hold texts, numbers and lists only.
        let file = File { format: FORMAT, contract: self };
        serde_json::to_string_pretty(&file).unwrap_or_default() + "\n"
    }

    /// Reads and checks a contract that [`Contract::to_json`] wrote.
    ///
    /// # Errors
    ///
    /// The text is not a contract file of a known format, or the contract contradicts itself.
    pub fn from_json(text: &str) -> Result<Self, ContractError> {
        if text.len() > BYTES {
            return Err(ContractError::file(format!("it is longer than {BYTES} bytes")));
        }
        let version: File<serde::de::IgnoredAny> =
            serde_json::from_str(text).map_err(|error| ContractError::file(error.to_string()))?;
        if version.format != FORMAT {
            return Err(ContractError::file(format!(
                "it has format {}, and this version reads format {FORMAT}",
                version.format
            )));
        }
        let file: File<Self> =
            serde_json::from_str(text).map_err(|error| ContractError::file(error.to_string()))?;
        CompiledContract::new(&file.contract)?;
        Ok(file.contract)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_contracts_round_trip() {
        for contract in Contract::built_in() {
            let text = contract.to_json();
            assert_eq!(&Contract::from_json(&text).unwrap(), contract, "{}", contract.id);
        }
    }

    #[test]
    fn invalid_contract_files_give_one_line_that_names_the_mistake() {
        let good = crate::lmcache::LEGACY.to_json();
        for (bad, names) in [
            (String::new(), "line 1"),
            ("{}".to_owned(), "format"),
            (good.replacen("\"format\": 1", "\"format\": 2", 1), "format 2"),
            (good.replacen("\"sanitize\"", "\"sanitise\"", 1), "sanitise"),
            (good.replacen("scheme_only", "scheme_maybe", 1), "scheme_maybe"),
            (good.replacen("\"type\": \"int\"", "\"type\": \"number\"", 1), "number"),
            (good.replacen("\"name\": \"num_cpu\"", "\"name\": \"provider\"", 1), "provider"),
            (good.replacen("https://docs.", "docs.", 1), "notice_url"),
            (good.replacen("https://docs.", "https://\\u001b", 1), "notice_url"),
            ("x".repeat(BYTES + 1), "longer"),
        ] {
            let error = Contract::from_json(&bad).unwrap_err().to_string();
            assert!(error.contains(names), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
