//! For how many days before the last closed one it is known what was counted of them.

/// Days whose sessions are known as counted. A message is late for ten at most, so that a late session of an older day
/// is not counted any more.
pub(crate) const COUNTED: i64 = 20;
/// Days whose starts keep what they count. The longest figure follows a start for thirty.
pub(crate) const WEIGHTS: i64 = 40;
