//! A line of the journal, as JSON.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::delivery::{Delivery, DeliveryOutcome};

/// Every line begins with it and the time, so that a file shows how old it is.
const START: &str = "{\"unix_millis\":";

/// Most bytes at the start of a file that are read to find its time.
pub(super) const START_BYTES: u64 = 64;

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Line {
    Begun(Begun),
    Ended(Ended),
    Forgotten(Forgotten),
}

/// An attempt that is about to be made.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Begun {
    unix_millis: i64,
    /// Joins the two lines of an attempt.
    pub(super) attempt: String,
    contract: String,
    exporter: String,
    message: String,
    destination: String,
    identity: String,
    /// Earlier versions wrote none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance_id: Option<String>,
    bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

/// An attempt that has ended.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ended {
    unix_millis: i64,
    pub(super) attempt: String,
    outcome: Outcome,
    status: Option<u16>,
}

/// The rest of a line that was forgotten: its time, which tells the age of a file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Forgotten {
    unix_millis: i64,
    forgotten: bool,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Delivered,
    Refused,
    Failed,
    /// A word of another version.
    #[serde(other)]
    Unknown,
}

impl Line {
    pub(super) fn begun(attempt: &str, delivery: &Delivery, body: Option<String>) -> Self {
        Self::Begun(Begun {
            unix_millis: delivery.unix_millis,
            attempt: attempt.to_owned(),
            contract: delivery.contract.clone(),
            exporter: delivery.exporter.clone(),
            message: delivery.message.clone(),
            destination: delivery.destination.clone(),
            identity: delivery.identity.clone(),
            instance_id: delivery.instance_id.clone(),
            bytes: delivery.bytes,
            body,
        })
    }

    pub(super) fn ended(attempt: &str, delivery: &Delivery, unix_millis: i64) -> Self {
        let outcome = match delivery.outcome {
            DeliveryOutcome::Delivered => Outcome::Delivered,
            DeliveryOutcome::Refused => Outcome::Refused,
            DeliveryOutcome::Failed => Outcome::Failed,
            DeliveryOutcome::Unknown => Outcome::Unknown,
        };
        Self::Ended(Ended {
            unix_millis,
            attempt: attempt.to_owned(),
            outcome,
            status: delivery.status,
        })
    }

    /// Returns the line with its end.
    pub(super) fn encode(&self) -> Vec<u8> {
        // Writing to a `Vec` cannot fail, and every key is text.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }

    /// Returns what is left of a line of `length` bytes, in as many bytes, if it belongs to one of `attempts`.
    pub(super) fn forgotten(&self, attempts: &BTreeSet<String>, length: usize) -> Option<Vec<u8>> {
        let (unix_millis, attempt) = match self {
            Self::Begun(begun) => (begun.unix_millis, &begun.attempt),
            Self::Ended(ended) => (ended.unix_millis, &ended.attempt),
            Self::Forgotten(_) => return None,
        };
        if !attempts.contains(attempt) {
            return None;
        }
        let mut left = Self::Forgotten(Forgotten { unix_millis, forgotten: true }).encode();
        left.pop();
        if left.len() > length {
            // An empty line means nothing.
            return Some(vec![b'\n'; length]);
        }
        // Space behind an object is part of it.
        left.resize(length, b' ');
        Some(left)
    }

    /// Reads a line. `None` if it is damaged.
    pub(super) fn decode(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

impl Begun {
    pub(super) fn contract(&self) -> &str {
        &self.contract
    }

    /// Returns the attempt without its end, and the body if it was kept.
    pub(super) fn open(self) -> (Delivery, Option<String>) {
        let delivery = Delivery {
            unix_millis: self.unix_millis,
            contract: self.contract,
            exporter: self.exporter,
            message: self.message,
            destination: self.destination,
            identity: self.identity,
            instance_id: self.instance_id,
            bytes: self.bytes,
            outcome: DeliveryOutcome::Unknown,
            status: None,
        };
        (delivery, self.body)
    }
}

impl Ended {
    /// Adds the end to its attempt.
    pub(super) fn close(&self, delivery: &mut Delivery) {
        delivery.status = self.status;
        delivery.outcome = match self.outcome {
            Outcome::Delivered => DeliveryOutcome::Delivered,
            Outcome::Refused => DeliveryOutcome::Refused,
            Outcome::Failed => DeliveryOutcome::Failed,
            Outcome::Unknown => DeliveryOutcome::Unknown,
        };
    }
}

/// Returns the time of a line, whose start is enough. `None` if the line is damaged there.
pub(super) fn time_of(start: &[u8]) -> Option<i64> {
    let rest = start.strip_prefix(START.as_bytes())?;
    let time = rest.split(|byte| *byte == b',').next().filter(|time| time.len() < rest.len())?;
    std::str::from_utf8(time).ok()?.parse().ok()
}
