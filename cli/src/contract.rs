//! Finds the contract that `--contract` or `--contract-file` names.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use otel_usage::Contract;
use otel_usage::schema::{lmcache, vllm};

/// A built-in contract, or a part of one that is shown alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// The start message of vLLM today (vllm/current)
    #[value(alias = "vllm/current")]
    Vllm,
    /// The heartbeat of vLLM
    VllmHeartbeat,
    /// The start message of vLLM as documented for 0.4.0 (vllm/0.4.0)
    #[value(name = "vllm-0.4.0", alias = "vllm/0.4.0")]
    Vllm040,
    /// LMCache in one process (lmcache/1)
    #[value(alias = "lmcache/1")]
    Lmcache,
    /// What LMCache in one process sends at every interval
    LmcacheInterval,
    /// LMCache before schema version 1 (lmcache/legacy)
    #[value(alias = "lmcache/legacy")]
    LmcacheLegacy,
    /// LMCache as documented: metadata at the end of the run (lmcache/doc)
    #[value(alias = "lmcache/doc")]
    LmcacheDoc,
    /// The multi-process server of LMCache (lmcache/1)
    LmcacheMp,
    /// What the multi-process server of LMCache sends at every interval
    LmcacheMpInterval,
}

impl Name {
    /// Returns the contract to which the name belongs.
    pub(crate) fn contract(self) -> &'static Contract {
        match self {
            Self::Vllm | Self::VllmHeartbeat => &vllm::CURRENT,
            Self::Vllm040 => &vllm::V0_4_0,
            Self::Lmcache | Self::LmcacheInterval | Self::LmcacheMp | Self::LmcacheMpInterval => {
                &lmcache::V1
            }
            Self::LmcacheLegacy => &lmcache::LEGACY,
            Self::LmcacheDoc => &lmcache::DOC,
        }
    }
}

/// A built-in contract, or the path of a contract file.
pub(crate) enum Given {
    BuiltIn(&'static Contract),
    File(PathBuf),
}

impl Given {
    /// Prefers an id, because `vllm/current` is hardly meant as a path.
    pub(crate) fn of(word: &str) -> Self {
        match Contract::built_in().into_iter().find(|contract| contract.id == word) {
            Some(contract) => Self::BuiltIn(contract),
            None => Self::File(PathBuf::from(word)),
        }
    }
}

/// Returns the built-in contract with this id.
pub(crate) fn built_in(id: &str) -> anyhow::Result<&'static Contract> {
    match Given::of(id) {
        Given::BuiltIn(contract) => Ok(contract),
        Given::File(_) => {
            let known: Vec<_> = Contract::built_in().iter().map(|c| c.id.as_ref()).collect();
            bail!("there is no contract {id}: use one of {}, or --contract-file", known.join(", "))
        }
    }
}

/// Reads a contract file, which `Contract::to_json` writes.
pub(crate) fn from_file(path: &Path) -> anyhow::Result<Contract> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{shown} cannot be read: check the path and its permissions"))?;
    Contract::from_json(&text).with_context(|| {
        format!("{shown} is not a valid contract file: write it with Contract::to_json")
    })
}
