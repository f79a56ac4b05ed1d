//! The common parts of the tests, examples and benches of this workspace. It is never published.
//!
//! The features split it by what it costs to build: `xtask` and the examples need no bridge, for example.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking; it starts processes and reads the clock"
)]

pub mod clickhouse;
pub mod compare;
pub mod fleet;
pub mod golden;
pub mod python;
pub mod random;
#[cfg(feature = "checks")]
pub mod read;
pub mod receiver;
#[cfg(target_os = "linux")]
pub mod resolver;

#[cfg(feature = "engine")]
pub mod sample;
#[cfg(feature = "engine")]
pub mod scenario;

#[cfg(feature = "checks")]
pub mod dead_mount;
#[cfg(feature = "checks")]
pub mod decode;
#[cfg(feature = "checks")]
mod engine;
#[cfg(feature = "checks")]
pub mod json;
#[cfg(feature = "checks")]
pub mod otlp;
#[cfg(feature = "checks")]
pub mod schemas;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "checks")]
pub mod unflatten;
#[cfg(feature = "checks")]
pub mod world;

#[cfg(feature = "bridge")]
pub mod served;
#[cfg(feature = "bridge")]
pub mod upstream;

#[cfg(feature = "checks")]
pub use engine::{
    Collected, Given, Operator, PATIENCE, export, numbered, returns, settled, to_test_runner,
    turns, until, vllm_at,
};

/// Says what a test could not compare with, and why. Under CI nothing may be missing.
#[expect(clippy::print_stdout, reason = "for the person who runs the tests")]
pub fn skipped(why: &str) {
    let ci = std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false");
    assert!(!ci, "under CI nothing may be missing: {why}");
    println!("not tested: {why}");
}

/// The root folder of the repository.
pub fn root() -> &'static std::path::Path {
    std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
