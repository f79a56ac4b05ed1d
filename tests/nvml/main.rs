//! NVIDIA's management library as it is, is not, and should not be: played by a stand-in that a
//! process of its own finds in its library path.
//!
//! In: `stand_in.c` and what it plays. Out: what a process reports then. Nothing here needs a device;
//! where there is one, the stand-in goes before the real library.

#![cfg(target_os = "linux")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking; it starts processes and reads the clock"
)]

#[path = "../../examples/support/receiver.rs"]
mod receiver;

mod answers;
mod hangs;
mod stand_in;
