//! Reads the journal.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::line::Line;
use super::{is_missing, older};
use crate::delivery::Delivery;
use crate::files;

/// Most bytes of each file that are read. The journal's own limits are lower.
pub(super) const BYTES: u64 = 4 * 1024 * 1024;

/// The journal's account of one attempt to deliver a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The attempt. Its outcome is [`Unknown`](crate::export::DeliveryOutcome::Unknown) if only its begin is
    /// recorded.
    pub delivery: Delivery,
    /// The body that left, as text: of `server` its bytes, of `otlp` the same request as OTLP/JSON. `None` if
    /// bodies were not recorded, or if it was longer than 64 KiB.
    pub body: Option<String>,
}

/// The contents of the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipts {
    /// The attempts, oldest first.
    pub receipts: Vec<Receipt>,
    /// The number of lines that could not be read and were skipped.
    pub damaged: usize,
}

/// Reads the journal at `path`, and its older part. Returns `None` if there is no journal.
///
/// # Errors
///
/// A file is there and cannot be read.
pub fn read(path: &Path) -> io::Result<Option<Receipts>> {
    // The newer file comes first: if it is renamed meanwhile, its lines are read twice and not missed.
    let newer = read_file(path)?;
    let older = read_file(&older(path))?;
    if newer.is_none() && older.is_none() {
        return Ok(None);
    }
    let mut receipts = Receipts::default();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for text in [older, newer].into_iter().flatten() {
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match Line::decode(line) {
                None => receipts.damaged = receipts.damaged.saturating_add(1),
                Some(Line::Begun(begun)) => {
                    let attempt = begun.attempt.clone();
                    places.entry(attempt).or_insert_with(|| {
                        let (delivery, body) = begun.open();
                        receipts.receipts.push(Receipt { delivery, body });
                        receipts.receipts.len().saturating_sub(1)
                    });
                }
                Some(Line::Forgotten(_)) => {}
                // The begin of an attempt may have been deleted with the older file.
                Some(Line::Ended(ended)) => {
                    let place = places.get(&ended.attempt);
                    let receipt = place.and_then(|place| receipts.receipts.get_mut(*place));
                    if let Some(receipt) = receipt {
                        ended.close(&mut receipt.delivery);
                    }
                }
            }
        }
    }
    Ok(Some(receipts))
}

fn read_file(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match files::read_start(path, BYTES) {
        Err(error) if is_missing(&error) => Ok(None),
        read => read.map(Some),
    }
}
