//! The contracts that are built in, one folder for each engine and one file for each record.
//!
//! A new contract is a table like these; [`crate::Contract::built_in`] lists it, and a golden payload
//! checks it.

pub mod lmcache;
pub(crate) mod table;
pub mod vllm;
