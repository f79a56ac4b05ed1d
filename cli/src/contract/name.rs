//! The names of the built-in contracts and of their parts.

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
    /// The start message of vLLM 0.11, October 2025 (vllm/0.11)
    #[value(name = "vllm-0.11", alias = "vllm/0.11")]
    Vllm011,
    /// The start message of vLLM 0.7, January 2025 (vllm/0.7)
    #[value(name = "vllm-0.7", alias = "vllm/0.7")]
    Vllm07,
    /// The start message of vLLM as documented for 0.4.0 (vllm/0.4.0)
    #[value(name = "vllm-0.4.0", alias = "vllm/0.4.0")]
    Vllm040,
    /// LMCache in one process (lmcache/1)
    #[value(alias = "lmcache/1")]
    Lmcache,
    /// LMCache in one process, at every interval
    LmcacheInterval,
    /// LMCache before schema version 1 (lmcache/legacy)
    #[value(alias = "lmcache/legacy")]
    LmcacheLegacy,
    /// LMCache as documented: metadata at the end of the run (lmcache/doc)
    #[value(alias = "lmcache/doc")]
    LmcacheDoc,
    /// The multi-process server of LMCache (lmcache/1)
    LmcacheMp,
    /// The messages that the multi-process server of LMCache sends at every interval
    LmcacheMpInterval,
}

impl Name {
    /// Returns the contract to which the name belongs.
    pub(crate) fn contract(self) -> &'static Contract {
        match self {
            Self::Vllm | Self::VllmHeartbeat => &vllm::CURRENT,
            Self::Vllm011 => &vllm::V0_11,
            Self::Vllm07 => &vllm::V0_7,
            Self::Vllm040 => &vllm::V0_4_0,
            Self::Lmcache | Self::LmcacheInterval | Self::LmcacheMp | Self::LmcacheMpInterval => {
                &lmcache::V1
            }
            Self::LmcacheLegacy => &lmcache::LEGACY,
            Self::LmcacheDoc => &lmcache::DOC,
        }
    }

    /// Returns whether the name stands for the whole contract, and not for a part of it.
    pub(crate) fn is_whole(self) -> bool {
        match self {
            Self::Vllm
            | Self::Vllm011
            | Self::Vllm07
            | Self::Vllm040
            | Self::Lmcache
            | Self::LmcacheLegacy
            | Self::LmcacheDoc => true,
            Self::VllmHeartbeat
            | Self::LmcacheInterval
            | Self::LmcacheMp
            | Self::LmcacheMpInterval => false,
        }
    }

    /// Returns the name of a whole built-in contract.
    pub(crate) fn of(contract: &Contract) -> Option<Self> {
        let mut whole = Self::value_variants().iter().copied().filter(|name| name.is_whole());
        whole.find(|name| name.contract().id == contract.id)
    }
}
