//! The questions that the report answers, and the rules under which an answer is published.
//!
//! `question` is the table of questions, `source` counts the rows of the store, `rules` decides what may be shown, and
//! `report` makes figures.

mod answer;
mod close;
mod csv;
mod cube;
mod days;
mod figure;
pub mod files;
mod filter;
mod headline;
mod label;
mod numbers;
mod question;
mod report;
mod rules;
mod source;
mod table;

pub use close::{Closed, close};
pub use csv::csv;
pub use figure::{Figure, Form, Row};
pub use filter::{Engine, Filter, Window};
pub use question::{QUESTIONS, Question};
pub use report::{Report, live, report};
pub use rules::{Rules, rounded};
pub(crate) use source::{Group, Source, Which};
pub use source::{Rows, counts};
pub use table::Privacy;
pub(crate) use table::{Amount, Key, Population, Table};
