//! The pages that people see: the report with its plots and tables, the method, the dictionary, the quality, the files.
//!
//! `pages` makes what stands at an address, `serve` answers requests with it, `render` writes it as files. A plot and
//! its numbers come from one `Figure`, so the page, its table, CSV and JSON cannot differ.

mod address;
mod answer;
mod coding;
mod data;
mod dictionary;
mod figure;
mod method;
mod numbers;
mod pages;
mod plot;
mod quality;
mod render;
mod report;
mod serve;
mod server_address;
mod shell;
mod source;
mod today;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

pub use render::render;
pub(crate) use serve::internal_in;
pub use serve::{internal, router};
pub use server_address::reached_at;
