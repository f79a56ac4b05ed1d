//! The messages of one request, as far as the limits leave room for them.

use crate::memory::Share;
use crate::message::Flat;
use crate::part::Stop;

/// Most records of one request. A collector's batch has 8,192 by default.
const RECORDS_IN_ONE: usize = 65_536;

/// The memory that a record takes beside its text while it is delivered. Unit: bytes.
const PER_RECORD: usize = 512;

/// The piece in which memory for messages is taken. Unit: bytes.
const STEP: usize = 64 * 1024;

/// The messages of one request, and what they cost.
#[derive(Debug)]
pub(crate) struct Batch<'s> {
    pub(crate) flats: Vec<Flat>,
    share: &'s mut Share,
    /// Most bytes of the messages.
    largest: usize,
    records: usize,
    bytes: usize,
    /// The bytes that are taken from the share; some more than are in use.
    taken: usize,
    /// A buffer for the text of one message.
    pub(crate) text: Vec<u8>,
}

impl<'s> Batch<'s> {
    pub(crate) fn new(share: &'s mut Share, largest: usize) -> Self {
        let (flats, text) = (Vec::new(), Vec::new());
        Self { flats, share, largest, records: 0, bytes: 0, taken: 0, text }
    }

    /// Counts one more record of the request.
    ///
    /// # Errors
    ///
    /// There are too many.
    pub(crate) const fn begin_record(&mut self) -> Result<(), Stop> {
        self.records = self.records.saturating_add(1);
        if self.records > RECORDS_IN_ONE { Err(Stop::TooLarge) } else { Ok(()) }
    }

    /// Adds a message, if there is room for it.
    pub(crate) fn push(&mut self, flat: Option<Flat>) -> Result<(), Stop> {
        let Some(flat) = flat else { return Ok(()) };
        let bytes = flat.body.len().saturating_add(PER_RECORD);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.largest {
            return Err(Stop::TooLarge);
        }
        if self.bytes > self.taken {
            let more = bytes.max(STEP);
            if !self.share.grow(more) {
                return Err(Stop::Busy);
            }
            self.taken = self.taken.saturating_add(more);
        }
        self.flats.push(flat);
        Ok(())
    }
}
