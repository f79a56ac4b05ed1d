//! Contracts as Python names them: a built-in one by its name, another one by the text of its file.

use std::borrow::Cow;

use otel_usage::Contract;
use otel_usage::schema::{MessageSpec, Trigger};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::own;

/// Returns the built-in contract of this name, or the one that the text of a contract file describes.
pub(crate) fn find(name_or_file: &str) -> PyResult<Contract> {
    if name_or_file.trim_start().starts_with('{') {
        return Contract::from_json(name_or_file)
            .map_err(|error| PyValueError::new_err(error.to_string()));
    }
    let built_in = Contract::built_in();
    let found = built_in.iter().find(|contract| contract.id == name_or_file);
    found.map(|contract| (*contract).clone()).ok_or_else(|| {
        let known: Vec<&str> = built_in.iter().map(|contract| contract.id.as_ref()).collect();
        PyValueError::new_err(format!(
            "there is no contract {name_or_file:?}: use {}, or the text of a contract file",
            known.join(", ")
        ))
    })
}

/// Makes every message one that the caller records. The library adds none at the start, at intervals or at the end.
pub(crate) fn recorded_only(mut contract: Contract) -> Contract {
    for message in contract.messages.to_mut() {
        match &mut message.trigger {
            // It keeps its instruments, and none of the times.
            Trigger::Interval { schedules, .. } => *schedules = Cow::Borrowed(&[]),
            other => *other = Trigger::Record,
        }
    }
    contract
}

/// A field that the engine declares beside its call. A tuple in Python.
#[derive(Debug, FromPyObject)]
pub(crate) struct Declared(String, String, String, String, String);

/// Adds a declared field to the end of its message. A key that the contract knows stays as it is, so that an engine
/// may declare what a later release of this package knows by itself.
pub(crate) fn with_declared(contract: Contract, declared: &Declared) -> PyResult<Contract> {
    let Declared(message, name, ty, doc, kind) = declared;
    let known = self::message(&contract, message)
        .is_some_and(|message| message.fields.iter().any(|field| field.name == *name));
    if known {
        return Ok(contract);
    }
    let attribute = format!("{}.{name}", contract.system);
    let field = own::field(name, attribute, ty, String::new(), doc.clone(), kind)?;
    Ok(contract.with_field(message, field.left_out_when_absent()))
}

/// Returns the kinds of record of a contract.
#[pyfunction]
pub(crate) fn kinds(contract: &str) -> PyResult<Vec<String>> {
    let contract = find(contract)?;
    let mut kinds: Vec<String> =
        contract.messages.iter().map(|message| message.record.to_string()).collect();
    kinds.dedup();
    Ok(kinds)
}

/// Returns the message of this name.
pub(crate) fn message<'a>(contract: &'a Contract, name: &str) -> Option<&'a MessageSpec> {
    contract.messages.iter().find(|message| message.name == name)
}

/// Returns the attribute that a key of a flat message comes from, if the engine gives it.
pub(crate) fn attribute<'a>(message: &'a MessageSpec, key: &str) -> Option<&'a str> {
    message.fields.iter().find(|field| field.name == key)?.source.record()
}
