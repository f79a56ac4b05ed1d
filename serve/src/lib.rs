//! A usage server: it receives what engines report, keeps it in one file, and publishes counts that hide each engine
//! among others.
//!
//! ```text
//!  flat POST ─┐
//!  OTLP ──────┼─► the bridge's front door ─► store ─► questions ─► page, JSON, CSV
//!  files ─────┘   (recognise, sanitize)     (SQLite)  (rules of publication)
//! ```
//!
//! `store` keeps messages and projects them, `questions` counts and applies the rules of publication, `page` shows
//! the answers. `docs/receiver/serve.md` explains how to run it.

pub mod clickhouse;
mod maintainers;
mod own_names;
pub mod page;
pub mod questions;
mod server;
pub mod store;

pub use server::{Receives, Server, Settings};
