//! Keeps the last attempts of an exporter to deliver a message.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::sys::Process;

/// Most attempts that are kept for each exporter: ten hours of heartbeats, or a start whose server is away.
const KEPT: usize = 64;

/// One attempt to deliver a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// Wall time at which the attempt began. Unit: milliseconds since the Unix epoch.
    pub unix_millis: i64,
    /// The contract's identifier.
    pub contract: String,
    /// The name of the exporter.
    pub exporter: String,
    /// The name of the message. For the span of a whole run, which has no flat message, its kind.
    pub message: String,
    /// The URL without user, password and query.
    pub destination: String,
    /// The identity of the record, the same in each attempt to deliver it: the trace id of its span, in
    /// hexadecimal digits. Only OTLP carries it; a usage server never had it.
    pub identity: String,
    /// The identity of the instance, as the message carries it to its receiver: vLLM's `uuid`, LMCache's
    /// `session_id`, OTLP's `service.instance.id`. `None` if the message carries none.
    pub instance_id: Option<String>,
    /// Size of the body. Unit: bytes.
    pub bytes: u64,
    /// How the attempt ended.
    pub outcome: DeliveryOutcome,
    /// The status of the HTTP answer. `None` if there was no answer.
    pub status: Option<u16>,
}

/// How an attempt to deliver a message ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryOutcome {
    /// The receiver accepted the message.
    Delivered,
    /// The receiver refused the message for good, or its URL cannot be used.
    Refused,
    /// There was no answer, or one that asks to try later.
    Failed,
    /// No answer is recorded. The message may have arrived.
    Unknown,
}

impl DeliveryOutcome {
    /// Returns the word for it, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// The last attempts of one exporter, oldest first.
#[derive(Debug)]
pub(crate) struct Deliveries {
    last: Mutex<VecDeque<Delivery>>,
    process: Process,
}

impl Default for Deliveries {
    fn default() -> Self {
        Self { last: Mutex::default(), process: Process::current() }
    }
}

impl Deliveries {
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only the network delivers"))]
    pub(crate) fn push(&self, delivery: Delivery) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        while last.len() >= KEPT {
            last.pop_front();
        }
        last.push_back(delivery);
    }

    pub(crate) fn snapshot(&self) -> Vec<Delivery> {
        // In a child, a thread that does not exist there may hold the lock.
        if self.process.is_forked() {
            return Vec::new();
        }
        self.last.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use super::*;

    #[test]
    fn the_last_64_deliveries_are_kept() {
        let deliveries = Deliveries::default();
        for unix_millis in 0..200 {
            deliveries.push(Delivery {
                unix_millis,
                contract: "engine/1".to_owned(),
                exporter: "server".to_owned(),
                message: "start".to_owned(),
                destination: "http://127.0.0.1:9/".to_owned(),
                identity: "00".to_owned(),
                instance_id: None,
                bytes: 1,
                outcome: DeliveryOutcome::Delivered,
                status: Some(200),
            });
        }
        let times: Vec<i64> =
            deliveries.snapshot().iter().map(|delivery| delivery.unix_millis).collect();
        assert_eq!(times, (136..200).collect::<Vec<_>>());
    }
}
