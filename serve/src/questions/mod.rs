//! The questions that the report answers, and the rules under which an answer is published.

mod figure;

pub use figure::{Figure, Form, Row};
