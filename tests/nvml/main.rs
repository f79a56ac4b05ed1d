//! Tests the probe against a stand-in of NVIDIA's management library (`stand_in.c`).
//!
//! Each test starts a process that finds the stand-in in its library path, before the real library. No
//! test needs a device.

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

mod answers;
mod hangs;
mod stand_in;
