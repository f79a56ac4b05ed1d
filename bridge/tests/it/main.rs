//! Tests the bridge between real senders and a scripted usage server, all on the loopback.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and reads the clock"
)]

mod accounts;
mod answers;
mod closed_world;
mod flat_values;
mod golden;
mod json_of_protobuf;
mod limits;
mod recognise;
mod releases;
mod repeats;
mod requests;
mod senders;
mod writers;
