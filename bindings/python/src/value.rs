//! Values of Python as values of attributes.

use opentelemetry::{Array, KeyValue, Value};
use otel_usage::UsageRecord;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PySequence, PyString, PyTuple};

/// Most entries of a list. The contract keeps 64.
const ENTRIES: usize = 256;

/// Most attributes of a record. The library keeps 512.
const ATTRIBUTES: usize = 1024;

/// Most characters of a text. The library keeps 4096 bytes, and the rest would be copied in vain on the engine's thread.
const CHARACTERS: usize = 8192;

/// A record as Python gives it.
pub(crate) struct Record {
    pub(crate) kind: String,
    pub(crate) attributes: Vec<KeyValue>,
}

impl UsageRecord for Record {
    fn kind(&self) -> &str {
        &self.kind
    }

    fn attributes(self) -> Vec<KeyValue> {
        self.attributes
    }
}

/// Returns the attributes of a `dict`. A value that no attribute can hold becomes the text of its type, which the
/// contract then refuses and counts as a wrong type, unless text is what it expects.
pub(crate) fn attributes(values: &Bound<'_, PyDict>) -> Vec<KeyValue> {
    named(values).map(|(name, value)| KeyValue::new(name, value)).collect()
}

/// Returns the names and values of a `dict`, without those that are `None` or have no name.
pub(crate) fn named<'py>(
    values: &Bound<'py, PyDict>,
) -> impl Iterator<Item = (String, Value)> + use<'py> {
    values.iter().take(ATTRIBUTES).filter_map(|(name, value)| {
        let name = text(name.cast::<PyString>().ok()?)?;
        Some((name, self::value(&value)?))
    })
}

/// Returns the value of an attribute, or `None` for `None`.
fn value(value: &Bound<'_, PyAny>) -> Option<Value> {
    if value.is_none() {
        return None;
    }
    let other = || Value::from(format!("<{}>", kind(value)));
    // A switch is a number in Python, so it comes first.
    Some(if let Ok(switch) = value.cast::<PyBool>() {
        Value::Bool(switch.is_true())
    } else if value.is_instance_of::<PyInt>() {
        value.extract().map_or_else(|_| other(), Value::I64)
    } else if let Ok(number) = value.cast::<PyFloat>() {
        Value::F64(number.value())
    } else if let Ok(string) = value.cast::<PyString>() {
        text(string).map_or_else(other, Value::from)
    } else if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        list(value).unwrap_or_else(other)
    } else {
        other()
    })
}

/// Returns a list of whole numbers, or of texts.
fn list(value: &Bound<'_, PyAny>) -> Option<Value> {
    let entries: Vec<Bound<'_, PyAny>> =
        value.try_iter().ok()?.take(ENTRIES).collect::<PyResult<_>>().ok()?;
    let number = |entry: &Bound<'_, PyAny>| {
        (!entry.is_instance_of::<PyBool>()).then(|| entry.extract::<i64>().ok()).flatten()
    };
    if let Some(numbers) = entries.iter().map(number).collect() {
        return Some(Value::Array(Array::I64(numbers)));
    }
    let words = |entry: &Bound<'_, PyAny>| Some(text(entry.cast::<PyString>().ok()?)?.into());
    entries.iter().map(words).collect::<Option<_>>().map(|texts| Value::Array(Array::String(texts)))
}

/// Returns the start of a text, with a sign in the place of each half of a surrogate pair. `None`: Python has no memory
/// for it.
fn text(string: &Bound<'_, PyString>) -> Option<String> {
    if string.len().ok()? <= CHARACTERS {
        return Some(string.to_string_lossy().into_owned());
    }
    let start = string.cast::<PySequence>().ok()?.get_slice(0, CHARACTERS).ok()?;
    Some(start.cast::<PyString>().ok()?.to_string_lossy().into_owned())
}

fn kind(value: &Bound<'_, PyAny>) -> String {
    value
        .get_type()
        .name()
        .map_or_else(|_| "object".to_owned(), |name| name.to_string_lossy().into_owned())
}
