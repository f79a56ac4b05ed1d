//! Contracts of other engines: from an annotated class of Python, or like a built-in one.

use std::borrow::Cow;

use otel_usage::Contract;
use otel_usage::schema::{
    CompiledContract, Directory, Field, MessageSpec, OffWhen, Privacy, Source, Switch, Trigger,
    Type, resource,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::contract;

/// A field as Python describes it: its key, attribute, type, unit, doc and kind of data.
#[derive(Debug, FromPyObject)]
pub(crate) struct Described(String, String, String, String, String, String);

/// Where an engine reports, and how it is switched off.
#[derive(Debug, FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Operation {
    server: Option<String>,
    server_variable: Option<String>,
    /// Variables whose presence switches the engine off.
    switches: Vec<String>,
    notice_url: Option<String>,
    /// The folder below the configuration folder, and a variable that names another one.
    directory: Option<(String, Option<String>)>,
    /// The name of the file in that folder that gets each message as a line.
    local_file: Option<String>,
}

/// Returns the type of this name.
pub(crate) fn ty(name: &str, of: &str) -> PyResult<Type> {
    Ok(match name {
        "bool" => Type::Bool,
        "float" => Type::Float,
        "int" => Type::Int,
        "ints" => Type::Ints,
        "str" => Type::Str,
        "strs" => Type::Strs,
        _ => {
            let known = "bool, float, int, ints, str or strs";
            return Err(PyValueError::new_err(format!("{of}: {name:?} is no type: use {known}")));
        }
    })
}

/// Returns the kind of data of this name.
pub(crate) fn privacy(name: &str, of: &str) -> PyResult<Privacy> {
    Ok(match name {
        "configuration" => Privacy::Configuration,
        "identity" => Privacy::Identity,
        "machine" => Privacy::Machine,
        "workload" => Privacy::Workload,
        _ => {
            let known = "configuration, identity, machine or workload";
            return Err(PyValueError::new_err(format!(
                "{of}: {name:?} is no kind of data: use {known}"
            )));
        }
    })
}

/// Returns a field that reads an attribute of the record. Free text goes through the sanitizer for free text.
pub(crate) fn field(
    key: &str,
    attribute: String,
    type_name: &str,
    unit: String,
    doc: String,
    kind: &str,
) -> PyResult<Field> {
    let mut field = Field::record("", ty(type_name, key)?, "", "").privacy(privacy(kind, key)?);
    field.name = Cow::Owned(key.to_owned());
    field.source = Source::Record(Cow::Owned(attribute));
    field.unit = Cow::Owned(unit);
    field.doc = Cow::Owned(doc);
    Ok(field)
}

/// Returns the text of the contract of an engine with one report, after the machine's fields, and a heartbeat.
#[pyfunction]
pub(crate) fn make_contract(
    id: &str,
    system: &str,
    endpoint: &str,
    heartbeat: Option<u32>,
    fields: Vec<Described>,
    operation: Operation,
) -> PyResult<String> {
    let mut report = MessageSpec::new("report", "", Trigger::Record).at(endpoint.to_owned());
    report.record = Cow::Owned(format!("{system}.report"));
    let mut report = report.with_header(resource::FIELDS);
    for Described(key, attribute, type_name, unit, doc, kind) in fields {
        report.fields.to_mut().push(field(&key, attribute, &type_name, unit, doc, &kind)?);
    }
    let mut contract = Contract::new("", "").with_message(report);
    contract.id = Cow::Owned(id.to_owned());
    contract.system = Cow::Owned(system.to_owned());
    if let Some(seconds) = heartbeat {
        let mut beat = MessageSpec::new("heartbeat", "", Trigger::Heartbeat { seconds })
            .at(endpoint.to_owned())
            .with_header(resource::FIELDS);
        beat.record = Cow::Owned(format!("{system}.heartbeat"));
        // A heartbeat carries the identity only, because the report has told the machine already.
        beat.fields.to_mut().retain(|field| field.privacy == Privacy::Identity);
        contract = contract.with_message(beat);
    }
    text(operated(contract, operation))
}

/// Returns the text of a contract with the messages of another one, for an engine that sends what that one sends.
#[pyfunction]
pub(crate) fn like_contract(
    base: &str,
    id: &str,
    system: &str,
    operation: Operation,
) -> PyResult<String> {
    let mut contract = contract::find(base)?;
    contract.id = Cow::Owned(id.to_owned());
    contract.system = Cow::Owned(system.to_owned());
    text(operated(contract, operation))
}

fn operated(mut contract: Contract, operation: Operation) -> Contract {
    let Operation { server, server_variable, switches, notice_url, directory, local_file } =
        operation;
    contract.server = server.map(Cow::Owned);
    contract.server_variable = server_variable.map(Cow::Owned);
    let switch = |variable| Switch { variable: Cow::Owned(variable), off: OffWhen::Present };
    contract.switches = switches.into_iter().map(switch).collect();
    contract.notice_url = notice_url.map(Cow::Owned);
    contract.directory = directory.map_or(Directory::None, |(name, variable)| Directory::Xdg {
        variable: variable.map(Cow::Owned),
        name: Cow::Owned(name),
    });
    contract.local_file = local_file.map(Cow::Owned);
    contract
}

fn text(contract: Contract) -> PyResult<String> {
    CompiledContract::new(&contract).map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(contract.to_json())
}
