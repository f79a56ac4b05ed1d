//! The choices of a reader of the report. Every choice is among fixed tables: there is no free combination of them,
//! because two published tables that overlap could be subtracted.

/// The engines that the questions are about. The contracts of one engine have ids that begin with its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// vLLM.
    Vllm,
    /// LMCache.
    Lmcache,
}

impl Engine {
    /// All engines, in the order of the page.
    pub const ALL: [Self; 2] = [Self::Vllm, Self::Lmcache];

    /// Returns the word in addresses and in ids of contracts.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Vllm => "vllm",
            Self::Lmcache => "lmcache",
        }
    }

    /// Returns the name as people write it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Vllm => "vLLM",
            Self::Lmcache => "LMCache",
        }
    }

    /// Finds an engine by its word in addresses.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|engine| engine.id() == id)
    }
}

/// How many days a figure shows, up to the last closed day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    /// Seven days.
    Week,
    /// Four weeks.
    #[default]
    Month,
    /// Ninety days.
    Quarter,
    /// 365 days.
    Year,
}

impl Window {
    /// All windows, the shortest first.
    pub const ALL: [Self; 4] = [Self::Week, Self::Month, Self::Quarter, Self::Year];

    /// Returns the number of days.
    #[must_use]
    pub const fn days(self) -> i64 {
        match self {
            Self::Week => 7,
            Self::Month => 28,
            Self::Quarter => 90,
            Self::Year => 365,
        }
    }

    /// Finds the window with this number of days.
    #[must_use]
    pub fn from_days(days: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|window| window.days() == days)
    }
}

/// The part of the report that is shown.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Filter {
    /// Only figures of this engine.
    pub engine: Option<Engine>,
    /// Only this version, and only figures that tell versions apart: `0.11`.
    pub version: Option<String>,
    /// How many days.
    pub window: Window,
    /// Shares of the column's total instead of counts.
    pub share: bool,
}
