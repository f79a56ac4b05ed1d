//! The triggers of messages.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The event that makes the library send a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Trigger {
    /// Once, right after the first record of this kind. `MetadataMessage` follows `EngineMessage`.
    After(Cow<'static, str>),
    /// Once, when the run finishes.
    Finish,
    /// At intervals from the first record on, without instruments. An engine may also record one.
    Heartbeat {
        /// Seconds between two messages.
        seconds: u32,
    },
    /// At intervals, with the values of the engine's instruments. Idle intervals are sent too, so that
    /// a silent engine differs from one that is gone.
    Interval {
        /// Seconds between two messages, unless [`crate::Contract::interval_variable`] is set.
        seconds: u32,
        /// The schedules. The one whose record comes first applies.
        schedules: Cow<'static, [Schedule]>,
    },
    /// With each record that the engine makes.
    Record,
    /// Once, before the first record of any kind.
    Start,
}

/// The begin and the end of a message at intervals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::exhaustive_structs, reason = "an engine's own contract writes it out")]
pub struct Schedule {
    /// Intervals begin with the first record of this kind.
    pub after: Cow<'static, str>,
    /// Seconds until the first message, at most one interval. `None` waits a whole interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seconds: Option<u32>,
    /// Whether the end of the run sends the interval that is not over yet.
    #[serde(default)]
    pub last: bool,
    /// Whether the interval variable may hold a fraction of a second. Values that do not parse are
    /// ignored.
    #[serde(default)]
    pub fractions: bool,
}

impl Trigger {
    /// Returns a trigger at intervals of `seconds`, from the first record of the kind `after` to the
    /// end of the run.
    #[must_use]
    pub fn every(seconds: u32, after: impl Into<Cow<'static, str>>) -> Self {
        let schedule =
            Schedule { after: after.into(), first_seconds: None, last: true, fractions: true };
        Self::Interval { seconds, schedules: Cow::Owned(vec![schedule]) }
    }
}
