//! The result of a request as a whole, because a sender can repeat only that.

use std::time::Duration;

/// The result of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Number of records of the request.
    pub(crate) records: usize,
    /// Set if a message has to be sent again, with the longest pause that a server asked for.
    pub(crate) later: Option<Option<Duration>>,
    /// Whether the sender sends too much.
    pub(crate) too_many: bool,
    /// Number of records that their server refuses for good.
    pub(crate) refused: usize,
}

impl Verdict {
    /// Notes that a message has to be sent again, after the pause that a server asked for.
    pub(crate) fn postpone(&mut self, asked: Option<Duration>) {
        self.later = Some(self.later.flatten().max(asked));
    }
}
