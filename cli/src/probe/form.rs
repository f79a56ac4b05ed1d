//! Prints the result of a probe as a table or as a JSON object.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::Value;

use otel_usage::detectors::{FACTS, Fact};

use super::{Probed, Step, fact};

/// Version of the JSON form.
const FORMAT: u32 = 1;

/// Largest number of readings in a row of the table.
const SOURCES: usize = 3;

/// The object that `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    format: u32,
    root: Option<String>,
    facts: Vec<FactObject>,
    steps: Vec<StepObject<'a>>,
    micros: u64,
}

#[derive(Serialize)]
struct FactObject {
    fact: &'static str,
    attribute: &'static str,
    value: Option<Value>,
    absent: Option<String>,
    step: Option<&'static str>,
    sources: Vec<String>,
}

#[derive(Serialize)]
struct StepObject<'a> {
    step: &'static str,
    micros: u64,
    sources: Vec<SourceObject<'a>>,
}

#[derive(Serialize)]
struct SourceObject<'a> {
    asked: &'static str,
    name: &'a str,
    answer: &'static str,
}

impl<'a> StepObject<'a> {
    fn of(step: &'a Step) -> Self {
        let sources = step.readings.iter().map(|reading| SourceObject {
            asked: reading.asked.as_str(),
            name: &reading.name,
            answer: reading.answer.as_str(),
        });
        Self { step: step.name, micros: step.micros, sources: sources.collect() }
    }
}

pub(super) fn json(probed: &Probed, root: Option<&Path>) -> anyhow::Result<String> {
    let fact = |(place, fact): (usize, &'static Fact)| {
        let (value, sources) = found(probed, place, fact);
        let step = probed.step(place, fact);
        FactObject {
            fact: fact.label,
            attribute: fact.attribute,
            absent: value.is_none().then(|| absence(fact, step)),
            value,
            step: step.map(|step| step.name),
            sources,
        }
    };
    let document = Document {
        format: FORMAT,
        root: root.map(|root| root.display().to_string()),
        facts: FACTS.iter().enumerate().map(fact).collect(),
        steps: probed.steps.iter().map(StepObject::of).collect(),
        micros: total(probed),
    };
    Ok(serde_json::to_string(&document).context("the facts cannot be written as JSON")? + "\n")
}

pub(super) fn table(probed: &Probed) -> String {
    let heading = ["fact", "value", "attribute", "read from", "µs"].map(str::to_owned);
    let mut rows = vec![heading];
    let mut timed: Vec<&str> = Vec::new();
    for (place, fact) in FACTS.iter().enumerate() {
        let (value, sources) = found(probed, place, fact);
        let step = probed.step(place, fact);
        // Facts of one reader share one time.
        let micros = match step {
            Some(step) if !timed.contains(&step.name) => {
                timed.push(step.name);
                step.micros.to_string()
            }
            _ => String::new(),
        };
        let (value, sources) = match value {
            Some(value) => (plain(&value), few(&sources)),
            None => ("-".to_owned(), absence(fact, step)),
        };
        rows.push([fact.label.to_owned(), value, fact.attribute.to_owned(), sources, micros]);
    }
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths = [0, 1, 2, 3, 4].map(|column| width(column).unwrap_or(0));
    let mut text = String::new();
    for [fact, value, attribute, sources, micros] in &rows {
        let [first, second, third, fourth, last] = widths;
        // Writing to a `String` cannot fail.
        let _ = writeln!(
            text,
            "{fact:<first$}  {value:<second$}  {attribute:<third$}  {sources:<fourth$}  {micros:>last$}"
        );
    }
    let asked: usize = probed.steps.iter().map(|step| step.readings.len()).sum();
    let _ = writeln!(text, "{asked} questions, {} µs", total(probed));
    text
}

/// Returns the value of a fact, and where it was read.
fn found(probed: &Probed, place: usize, fact: &Fact) -> (Option<Value>, Vec<String>) {
    let Some(value) = fact::value(fact, &probed.facts) else {
        return (None, Vec::new());
    };
    let readings = probed.step(place, fact).map(|step| fact::found_in(fact, &step.readings));
    (Some(value), readings.unwrap_or_default().into_iter().map(fact::shown).collect())
}

fn absence(fact: &Fact, step: Option<&Step>) -> String {
    fact::absence(fact, step.map(|step| step.readings.as_slice()).unwrap_or_default())
}

/// Returns a value without the quotes of JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Returns the first readings, and the number of the others.
fn few(sources: &[String]) -> String {
    let first: Vec<&str> = sources.iter().take(SOURCES).map(String::as_str).collect();
    match sources.len().saturating_sub(SOURCES) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

fn total(probed: &Probed) -> u64 {
    probed.steps.iter().fold(0, |sum, step| sum.saturating_add(step.micros))
}
