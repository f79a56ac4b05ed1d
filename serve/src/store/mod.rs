//! One SQLite file: the batches of received messages, which are the truth, and what is projected from them.

/// The tables. `schema.sql` explains each.
pub const SCHEMA: &str = include_str!("schema.sql");
