//! The contracts that the command knows, and the names by which every subcommand takes them.

mod chosen;
mod command;
mod known;
mod name;
mod subject;

pub(crate) use chosen::{Chosen, every_engine, given, whole};
pub(crate) use command::{Command, run};
pub(crate) use known::Installed;
#[cfg(feature = "bridge")]
pub(crate) use known::from_file;
pub(crate) use subject::Subject;
