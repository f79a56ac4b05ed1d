//! The questions that the report answers, and the rules under which an answer is published.
//!
//! `question` is the table of questions, `source` counts the rows of the store, `rules` decides what may be shown, and
//! `report` makes figures.

mod days;
mod figure;
mod filter;
mod question;
mod report;
mod source;

pub use figure::{Figure, Form, Row};
pub use filter::{Engine, Filter, Window};
pub use question::{QUESTIONS, Question};
pub use report::{Report, report};
