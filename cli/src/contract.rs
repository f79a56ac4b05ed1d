//! What `--contract` may say. In: a word. Out: the contract, and which part of it is meant.

use clap::ValueEnum;
use otel_usage::Contract;
use otel_usage::schema::{lmcache, vllm};

/// A contract, or a part of one that is shown by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// The start report of vLLM today (vllm/current)
    #[value(alias = "vllm/current")]
    Vllm,
    /// The heartbeat of vLLM
    VllmHeartbeat,
    /// The start report of vLLM as documented for 0.4.0 (vllm/0.4.0)
    #[value(name = "vllm-0.4.0", alias = "vllm/0.4.0")]
    Vllm040,
    /// LMCache in one process (lmcache/1)
    #[value(alias = "lmcache/1")]
    Lmcache,
    /// LMCache as documented: metadata at the end of the run (lmcache/doc)
    #[value(alias = "lmcache/doc")]
    LmcacheDoc,
    /// The multi-process server of LMCache (lmcache/1)
    LmcacheMp,
}

impl Name {
    /// The contract behind the name.
    pub(crate) fn contract(self) -> &'static Contract {
        match self {
            Self::Vllm | Self::VllmHeartbeat => &vllm::CURRENT,
            Self::Vllm040 => &vllm::V0_4_0,
            Self::Lmcache | Self::LmcacheMp => &lmcache::V1,
            Self::LmcacheDoc => &lmcache::DOC,
        }
    }
}
