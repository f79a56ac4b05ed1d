//! Integration tests of the usage server.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and reads the clock"
)]

mod addresses;
mod archive;
mod aside;
mod clickhouse;
mod clocks;
mod closing;
mod corrections;
mod cut;
mod damage;
mod fleet;
mod forgetting;
mod hardening;
mod lives;
mod lost_file;
mod operations;
mod privacy;
mod publishing;
mod questions;
mod refused_files;
mod running;
mod senders;
mod spool;
mod store;
mod week;
