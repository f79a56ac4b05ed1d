//! Notes each attempt to deliver a message: in the account of the exporter, and in the operator's journal if there
//! is one.

use uuid::Uuid;

use super::client::{Answer, Request};
use super::millis;
use crate::delivery::{Delivery, DeliveryOutcome};
use crate::export::Turn;
use crate::receipts::{Journal, Written};

/// The notes of one exporter.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) exporter: &'static str,
    /// Makes the text of a body, which may be compressed.
    pub(super) text: fn(bool, &[u8]) -> Option<String>,
    /// The keys of which one names the instance in a body.
    pub(super) instance_keys: Vec<String>,
    /// Finds the identity of the instance in a body, which another process may have made.
    pub(super) instance_id: fn(&[String], bool, &[u8]) -> Option<String>,
    pub(super) journal: Option<Journal>,
}

/// Longest identity that is noted. One of ours has 36 characters.
const INSTANCE_ID_BYTES: usize = 256;

/// An attempt that has begun.
#[derive(Debug)]
pub(super) struct Attempt {
    delivery: Delivery,
    written: Option<Written>,
    /// The status of the answer, once there is one.
    pub(super) status: Option<u16>,
}

impl Ledger {
    /// Notes that `request` is about to be sent. It is called with consent, and before the first byte leaves.
    pub(super) fn begin(&mut self, request: &Request, turn: &Turn<'_>) -> Attempt {
        let entry = &request.entry;
        let instance_id = (self.instance_id)(&self.instance_keys, entry.gzip, &entry.body);
        let delivery = Delivery {
            unix_millis: millis(turn.unix_nanos()),
            contract: entry.contract.clone(),
            exporter: self.exporter.to_owned(),
            message: entry.message.clone(),
            destination: request.destination.to_string(),
            identity: Uuid::from_bytes(entry.identity).simple().to_string(),
            instance_id: instance_id.filter(|id| id.len() <= INSTANCE_ID_BYTES),
            bytes: entry.body.len() as u64,
            outcome: DeliveryOutcome::Unknown,
            status: None,
        };
        let text = self.text;
        let journal = self.journal.as_mut();
        let written =
            journal.and_then(|journal| journal.begin(&delivery, || text(entry.gzip, &entry.body)));
        Attempt { delivery, written, status: None }
    }

    /// Notes how the attempt ended. The journal is left alone if consent was withdrawn meanwhile.
    pub(super) fn end(&mut self, attempt: Attempt, answer: &Answer, turn: &mut Turn<'_>) {
        let Attempt { mut delivery, written, status } = attempt;
        delivery.status = status;
        delivery.outcome = match answer {
            Answer::Delivered => DeliveryOutcome::Delivered,
            Answer::Refused => DeliveryOutcome::Refused,
            Answer::Later(_) | Answer::Unreached => DeliveryOutcome::Failed,
        };
        if let (Some(journal), Some(written)) = (&mut self.journal, written)
            && turn.may_send()
        {
            journal.end(&written, &delivery, millis(turn.unix_nanos()));
        }
        turn.tried(delivery);
    }
}
