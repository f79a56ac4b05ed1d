//! Integration tests of the usage server.

mod fleet;
mod questions;
