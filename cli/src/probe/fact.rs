//! Shows facts of the library's table: value, readings that found it, or why it is absent.

use opentelemetry::{Array, Value};
use otel_usage::detectors::{Answer, Asked, Fact, Facts, FoundIn, Reading};

/// Returns the value of a fact as JSON.
pub(super) fn value(fact: &Fact, facts: &Facts) -> Option<serde_json::Value> {
    Some(match fact.value(facts)? {
        Value::Bool(value) => value.into(),
        Value::I64(value) => value.into(),
        Value::Array(Array::String(parts)) => parts.iter().map(|part| part.as_str()).collect(),
        text => text.as_str().into(),
    })
}

/// Returns the readings that found the fact, of those of its reader.
pub(super) fn found_in<'a>(fact: &Fact, readings: &'a [Reading]) -> Vec<&'a Reading> {
    let mut found: Vec<&Reading> = Vec::new();
    for reading in readings.iter().filter(|reading| reading.answer == Answer::Found) {
        if !found.iter().any(|before| before.name == reading.name) {
            found.push(reading);
        }
    }
    match fact.found_in {
        FoundIn::First => found.truncate(1),
        FoundIn::Last => found = found.split_off(found.len().saturating_sub(1)),
        _ => {}
    }
    found
}

/// Returns why the fact is absent, in words.
pub(super) fn absence(fact: &Fact, readings: &[Reading]) -> String {
    let unreadable = readings.iter().find_map(|reading| match reading.answer {
        Answer::Unreadable(why) => Some((reading, why)),
        _ => None,
    });
    // A variable or a program that exists need not hold the fact; a file should.
    let exists = |reading: &Reading| {
        matches!(reading.answer, Answer::Found | Answer::Blank)
            && matches!(reading.asked, Asked::Call | Asked::File | Asked::Folder)
    };
    let [nothing, silent] = fact.absent;
    match unreadable {
        Some((reading, why)) => format!("cannot be read: {}: {why}", reading.name),
        None if readings.iter().any(exists) => format!("not found: {silent}"),
        None => format!("not found: {nothing}"),
    }
}

/// Returns the name of a reading as it is shown.
pub(super) fn shown(reading: &Reading) -> String {
    match reading.asked {
        Asked::Variable => format!("${}", reading.name),
        Asked::Program => format!("{} on $PATH", reading.name),
        _ => reading.name.clone(),
    }
}
