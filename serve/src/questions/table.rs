//! The tables of the cubes: which engines are counted, and by what.

use super::Engine;
use super::label::{self, Label, Reported};

/// Which engines of a day a table counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Population {
    /// Heard of on the day, and served: at least six slots or interval messages in all.
    Served,
    /// First heard of on the day.
    Started,
    /// Heard of on the day, and first heard of so many days before.
    StartedBefore(i64),
    /// Starts of the day whose messages carry no identity, so that their later life is not known.
    Unnamed,
}

/// The part of an engine's report that a table reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// A facet of its start reports.
    Facet(&'static str),
    /// Whether it has lived for seven days.
    Steady,
    /// How long it has lived since the day on which it started.
    Lived,
    /// LMCache: which share of the tokens of the day came from the cache.
    HitShare,
    /// LMCache: how long half of what was evicted on the day had lived.
    CacheLife,
}

/// An amount that is summed beside the engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Amount {
    /// Visible accelerators.
    Devices,
    /// Visible accelerators times the hours in which the engine was heard of.
    DeviceHours,
}

/// The grain at which a table is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Privacy {
    /// Words of a closed list, versions and sizes: a number for each day.
    Closed,
    /// Free text of engines: a number for each week from Monday to Sunday, and none for a day.
    FreeText,
}

/// A table of the cubes.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) id: &'static str,
    pub(crate) engines: &'static [Engine],
    pub(crate) population: Population,
    pub(crate) keys: &'static [Key],
    pub(crate) amounts: &'static [Amount],
    pub(crate) label: fn(&Reported<'_>) -> Label,
    pub(crate) privacy: Privacy,
}

const VLLM: &[Engine] = &[Engine::Vllm];
const LMCACHE: &[Engine] = &[Engine::Lmcache];
const BOTH: &[Engine] = &Engine::ALL;

const fn served(
    id: &'static str,
    engines: &'static [Engine],
    keys: &'static [Key],
    label: fn(&Reported<'_>) -> Label,
) -> Table {
    let (population, privacy) = (Population::Served, Privacy::Closed);
    Table { id, engines, population, keys, amounts: &[], label, privacy }
}

const fn free(
    id: &'static str,
    engines: &'static [Engine],
    keys: &'static [Key],
    amounts: &'static [Amount],
    label: fn(&Reported<'_>) -> Label,
) -> Table {
    let (population, privacy) = (Population::Served, Privacy::FreeText);
    Table { id, engines, population, keys, amounts, label, privacy }
}

const fn after(id: &'static str, days: i64) -> Table {
    let (population, privacy) = (Population::StartedBefore(days), Privacy::Closed);
    Table { id, engines: BOTH, population, keys: &[], amounts: &[], label: label::all, privacy }
}

/// Every table. All tables of served engines of one engine have the same total, because a facet that was not reported
/// is a cell too.
pub(crate) const TABLES: &[Table] = &[
    served("versions", BOTH, &[Key::Facet("version")], label::version),
    free(
        "accelerators",
        BOTH,
        &[Key::Facet("accelerator")],
        &[Amount::Devices, Amount::DeviceHours],
        label::text,
    ),
    free("models", VLLM, &[Key::Facet("model_architecture")], &[], label::text),
    served("dtype", VLLM, &[Key::Facet("dtype")], label::word),
    free("quantization", VLLM, &[Key::Facet("quantization")], &[], label::text),
    served(
        "shape",
        VLLM,
        &[
            Key::Facet("tensor_parallel_size"),
            Key::Facet("pipeline_parallel_size"),
            Key::Facet("data_parallel_size"),
        ],
        label::shape,
    ),
    served("provider", BOTH, &[Key::Facet("provider")], label::word),
    served("context", VLLM, &[Key::Facet("context")], label::word),
    served("source", BOTH, &[Key::Facet("source")], label::word),
    served("steady", BOTH, &[Key::Steady], label::made),
    Table {
        id: "life",
        engines: BOTH,
        population: Population::Started,
        keys: &[Key::Lived],
        amounts: &[],
        label: label::made,
        privacy: Privacy::Closed,
    },
    Table {
        id: "starts",
        engines: LMCACHE,
        population: Population::Unnamed,
        keys: &[],
        amounts: &[],
        label: label::contract,
        privacy: Privacy::Closed,
    },
    after("after-7", 7),
    after("after-30", 30),
    served("hit", LMCACHE, &[Key::HitShare], label::made),
    served("l1", LMCACHE, &[Key::Facet("l1_bytes")], label::bytes),
    free("l2", LMCACHE, &[Key::Facet("l2_adapters")], &[], label::list),
    served("cache-life", LMCACHE, &[Key::CacheLife], label::minutes),
];

/// Finds a table.
pub(crate) fn table(id: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.id == id)
}
