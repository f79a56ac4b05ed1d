//! What the examples share: a usage server to post to, and a made-up engine.

#![allow(dead_code, unused_imports, reason = "each example uses a part")]

pub(crate) mod adoption;
pub(crate) mod receiver;
pub(crate) mod sample;
