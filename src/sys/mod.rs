//! Calls into the C library and the processor, one file for each kind.
//!
//! Only this module has `unsafe` code, apart from one line of `layer.rs` that forwards a call. A
//! function whose answer a platform does not have returns `None` there.
#![expect(unsafe_code, reason = "the crate's only foreign calls; each block says why it is sound")]

mod access;
mod fork;
mod local_time;
mod locks;
mod name;
mod signals;

pub(crate) use access::user_id;
#[cfg(feature = "http")]
pub(crate) use access::{file_system, may_fill};
pub(crate) use fork::Process;
pub(crate) use local_time::local_time;
pub(crate) use locks::lock;
#[cfg(feature = "http")]
pub(crate) use locks::{holder, own};
pub(crate) use name::{SystemName, cpuid, libc_version, uname};
pub(crate) use signals::{NoSignals, QuietSignals};
