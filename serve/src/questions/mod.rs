//! The questions that the report answers, and the rules under which an answer is published.
//!
//! `question` is the table of questions. A day is closed on this way; only the first and the last part know a database:
//!
//! ```text
//!  source ─► cells (labels, weigh) ─► rules, week, overlap ─► rows of the cubes ─► close ─► report
//!  answers    day, revise                                                          writes
//! ```

mod answer;
mod cells;
pub(crate) mod changes;
mod close;
mod counted;
mod csv;
mod cube;
mod day;
mod days;
mod figure;
pub mod files;
mod filter;
#[cfg(test)]
mod flood;
mod headline;
pub(crate) mod known;
mod label;
mod numbers;
mod overlap;
mod question;
mod report;
mod revise;
mod rules;
mod source;
mod support;
mod table;
mod week;
mod weigh;

pub(crate) use close::{Days, InFile, Starts, count_in};
pub use close::{close, count};
pub use counted::{Closed, Counted, Progress};
pub(crate) use counted::{Seen, closed, seen};
pub use csv::csv;
pub use figure::{Figure, Form, Row};
pub use filter::{Engine, Filter, Window};
pub(crate) use numbers::LIVE;
pub use question::{QUESTIONS, Question};
pub(crate) use report::live_in;
pub use report::{Report, live, report};
pub use rules::{Rules, rounded};
pub(crate) use source::{Group, MOST_DEVICES, Source, Which};
pub use source::{Rows, counts};
pub use table::Privacy;
pub(crate) use table::{Amount, Key, Population, Table};
pub(crate) use weigh::ten_networks;
