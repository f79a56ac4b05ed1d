//! Without the feature `gpu` no driver is asked: a machine comes in, nothing goes out.
//!
//! What an engine says of its accelerators works all the same.

use super::super::Machine;
use super::Accelerators;

/// No accelerators are known.
pub(in crate::probe) fn accelerators(_machine: &Machine) -> Option<Accelerators> {
    None
}
