//! Notes each attempt to deliver a message in the account of the exporter.

use uuid::Uuid;

use super::client::{Answer, Request};
use crate::delivery::{Delivery, DeliveryOutcome};
use crate::export::Turn;

/// The notes of one exporter.
#[derive(Debug)]
pub(super) struct Ledger {
    exporter: &'static str,
}

/// An attempt that has begun.
#[derive(Debug)]
pub(super) struct Attempt {
    delivery: Delivery,
    /// The status of the answer, once there is one.
    pub(super) status: Option<u16>,
}

impl Ledger {
    pub(super) const fn new(exporter: &'static str) -> Self {
        Self { exporter }
    }

    /// Notes that `request` is about to be sent. It is called before the first byte leaves.
    pub(super) fn begin(&self, request: &Request, turn: &Turn<'_>) -> Attempt {
        let entry = &request.entry;
        let delivery = Delivery {
            unix_millis: turn.unix_nanos().div_euclid(1_000_000),
            contract: entry.contract.clone(),
            exporter: self.exporter.to_owned(),
            message: entry.message.clone(),
            destination: request.destination.to_string(),
            identity: Uuid::from_bytes(entry.identity).simple().to_string(),
            bytes: entry.body.len() as u64,
            outcome: DeliveryOutcome::Unknown,
            status: None,
        };
        Attempt { delivery, status: None }
    }

    /// Notes how the attempt ended.
    pub(super) fn end(&self, attempt: Attempt, answer: &Answer, turn: &Turn<'_>) {
        let Attempt { mut delivery, status } = attempt;
        delivery.status = status;
        delivery.outcome = match answer {
            Answer::Delivered => DeliveryOutcome::Delivered,
            Answer::Refused => DeliveryOutcome::Refused,
            Answer::Later(_) => DeliveryOutcome::Failed,
        };
        turn.tried(delivery);
    }
}
