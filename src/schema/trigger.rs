//! When a message is sent.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// When a message is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Trigger {
    /// Once, right after the first record of this kind: `MetadataMessage` follows `EngineMessage`.
    After(Cow<'static, str>),
    /// Once, when the run finishes.
    Finish,
    /// Every so many seconds once the first report is made. An engine may also record one itself.
    Heartbeat {
        /// Seconds between two beats.
        seconds: u32,
    },
    /// Every so many seconds, with what the engine's counters, gauges and histograms hold; also when
    /// that is nothing, so that a silent engine can be told from one that is gone.
    Interval {
        /// Seconds between two messages, unless [`super::Contract::interval_variable`] says otherwise.
        seconds: u32,
        /// When the first is sent. Of several the one whose record comes first applies.
        schedules: Cow<'static, [Schedule]>,
    },
    /// Whenever the engine records one.
    Record,
    /// Once, before the first record of any kind.
    Start,
}

/// How a message at intervals begins and ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::exhaustive_structs, reason = "an engine's own contract writes it out")]
pub struct Schedule {
    /// Intervals begin with the first record of this kind.
    pub after: Cow<'static, str>,
    /// Seconds until the first message; never more than an interval. `None`: a whole interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seconds: Option<u32>,
    /// Whether the end of the run sends the interval that has begun.
    #[serde(default)]
    pub last: bool,
    /// Whether the variable may say a fraction of a second. One that says something else than this
    /// allows does not count.
    #[serde(default)]
    pub fractions: bool,
}

impl Trigger {
    /// Every so many seconds from the first record of the kind `after` on, and at the end of the run.
    #[must_use]
    pub fn every(seconds: u32, after: impl Into<Cow<'static, str>>) -> Self {
        let schedule =
            Schedule { after: after.into(), first_seconds: None, last: true, fractions: true };
        Self::Interval { seconds, schedules: Cow::Owned(vec![schedule]) }
    }
}
