//! The bridge between real senders and a scripted usage server, all on the loopback.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and reads the clock"
)]

mod answers;
mod closed_world;
mod golden;
mod legacy;
mod limits;
mod served;
#[allow(dead_code, reason = "shared with the library's tests, which use more of it")]
#[path = "../../../tests/it/support/mod.rs"]
mod support;
#[allow(dead_code, reason = "shared with the bench")]
mod upstream;
