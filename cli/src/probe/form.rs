//! Prints the result of a probe as a table or as a JSON object.

use std::path::Path;

use anyhow::Context as _;
use bytesize::ByteSize;
use serde::Serialize;
use serde_json::Value;

use otel_usage::detectors::{FACTS, Fact};

use super::{Probed, Step, fact};
use crate::output;

/// Version of the JSON form.
const FORMAT: u32 = 1;

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

/// Returns the facts as a table for people, or with `wide` also the attributes and each source.
pub(super) fn table(probed: &Probed, wide: bool) -> String {
    let mut table = if wide {
        output::Table::new(["fact", "value", "attribute", "read from", "µs"]).wide()
    } else {
        output::Table::new(["fact", "value", "read from", "µs"])
    };
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
            Some(value) if wide => (readable(fact, &value), sources.join(", ")),
            Some(value) => (readable(fact, &value), few(&sources)),
            None => ("-".to_owned(), absence(fact, step)),
        };
        let label = fact.label.to_owned();
        if wide {
            table.row([label, value, fact.attribute.to_owned(), sources, micros]);
        } else {
            table.row([label, value, sources, micros]);
        }
    }
    let asked: usize = probed.steps.iter().map(|step| step.readings.len()).sum();
    format!("{}{asked} questions, {} µs\n", table.text(), total(probed))
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

/// Facts in bytes.
const SIZES: [&str; 3] =
    ["otel_usage.memory.total", "otel_usage.memory.cgroup_limit", "otel_usage.accelerator.memory"];

/// Returns a value as people write it: sizes with a unit, lists and texts without the quotes of JSON.
fn readable(fact: &Fact, value: &Value) -> String {
    match (value, value.as_u64()) {
        (_, Some(bytes)) if SIZES.contains(&fact.attribute) => {
            ByteSize(bytes).display().iec().to_string()
        }
        (Value::Array(parts), _) => {
            parts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        _ => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    }
}

/// Returns the first reading, and the number of the others.
fn few(sources: &[String]) -> String {
    match sources {
        [] => String::new(),
        [one] => one.clone(),
        [one, others @ ..] => format!("{one} +{}", others.len()),
    }
}

fn total(probed: &Probed) -> u64 {
    probed.steps.iter().fold(0, |sum, step| sum.saturating_add(step.micros))
}
