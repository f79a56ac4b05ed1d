//! The durable queue behind the outbox: messages that wait for their server in files.
//!
//! Each message is a file of its own, which is written once and deleted as a whole, so that damage costs one
//! message. `docs/project/spool.md` holds the rules of writing, syncing and deleting.

mod disk;
mod entry;
mod folder;
mod inspect;
mod left_over;
mod name;
pub(crate) mod place;
mod store;

#[cfg(any(test, fuzzing))]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may overflow, and fails by panicking"
)]
pub(crate) mod damage;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test may overflow, and fails by panicking")]
mod power;
#[cfg(any(test, fuzzing))]
#[allow(
    dead_code,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may overflow, and fails by panicking; a fuzz target needs a part of it"
)]
mod simulated;
#[cfg(test)]
mod tests;

pub(crate) use entry::{Address, Entry};
pub(crate) use folder::Folder;
pub use inspect::{SpoolFile, SpoolFolder, SpoolMessage};
#[cfg(test)]
pub(crate) use simulated::Simulated;
pub(crate) use store::{Spool, Taken};
