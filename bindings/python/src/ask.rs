//! Questions about what would happen here, for `status` and for the switches of the originals.

use std::panic::{AssertUnwindSafe, catch_unwind};

use otel_usage::receipts::{Receipt, read};
use otel_usage::{Consent, Usage};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::contract;
use crate::usage::environment;

pub(crate) const fn word(consent: Consent) -> &'static str {
    match consent {
        Consent::Granted => "on",
        Consent::Local => "local",
        _ => "off",
    }
}

/// Returns whether collection is on for a contract: `on`, `local` or `off`, and the switch that decided it.
#[pyfunction]
pub(crate) fn decide(contract: &str, env: &Bound<'_, PyDict>) -> PyResult<(&'static str, String)> {
    let contract = contract::find(contract)?;
    let environment = environment(env);
    let decided = catch_unwind(AssertUnwindSafe(|| {
        // Nothing is started before the first record.
        let usage =
            Usage::builder(&contract).with_environment(environment).on_notice(|_, _| {}).init();
        (word(usage.decision().consent), usage.decision().because.clone())
    }));
    Ok(decided.unwrap_or_else(|_| ("off", "an error".to_owned())))
}

/// Returns what an engine with this contract would do here, as a `dict`.
#[pyfunction]
pub(crate) fn inspect<'py>(
    py: Python<'py>,
    contract: &str,
    env: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyDict>> {
    let contract = contract::find(contract)?;
    let environment = environment(env);
    let found = PyDict::new(py);
    found.set_item("contract", contract.id.as_ref())?;
    let inspection = py.detach(|| {
        let builder = Usage::builder(&contract).with_environment(environment);
        catch_unwind(AssertUnwindSafe(|| builder.inspect().ok())).ok().flatten()
    });
    let Some(inspection) = inspection else { return Ok(found) };
    let (decision, settings) = (inspection.decision(), inspection.settings());
    found.set_item("collection", word(decision.consent))?;
    found.set_item("because", &decision.because)?;
    let exporters: Vec<&str> = settings.exporters.iter().map(|name| name.as_str()).collect();
    found.set_item("exporters", exporters)?;
    let server = settings.server.as_deref().and_then(otel_usage::schema::Destination::parse);
    found.set_item("server", server.map(|server| server.origin()))?;
    found.set_item("file", settings.file.as_deref().map(|path| path.display().to_string()))?;
    found.set_item("warnings", &settings.warnings)?;
    found.set_item("notes", &settings.notes)?;
    Ok(found)
}

/// Returns the file with the journal of what left, and its entries, oldest first. No entries: there is no journal.
#[pyfunction]
pub(crate) fn receipts<'py>(
    py: Python<'py>,
    env: &Bound<'py, PyDict>,
) -> PyResult<(Option<String>, Vec<Bound<'py, PyDict>>)> {
    // The journal is the same for every contract.
    let contract = contract::find("vllm/current")?;
    let environment = environment(env);
    let builder = Usage::builder(&contract).with_environment(environment);
    let Some(path) =
        builder.inspect().ok().and_then(|found| found.settings().receipts.journal.clone())
    else {
        return Ok((None, Vec::new()));
    };
    let found = py.detach(|| read(&path))?.unwrap_or_default();
    let entries = found.receipts.iter().map(|receipt| entry(py, receipt));
    Ok((Some(path.display().to_string()), entries.collect::<PyResult<_>>()?))
}

fn entry<'py>(py: Python<'py>, receipt: &Receipt) -> PyResult<Bound<'py, PyDict>> {
    let delivery = &receipt.delivery;
    let entry = PyDict::new(py);
    entry.set_item("unix_millis", delivery.unix_millis)?;
    entry.set_item("contract", &delivery.contract)?;
    entry.set_item("message", &delivery.message)?;
    entry.set_item("exporter", &delivery.exporter)?;
    entry.set_item("destination", &delivery.destination)?;
    entry.set_item("identity", &delivery.identity)?;
    entry.set_item("instance_id", delivery.instance_id.as_deref())?;
    entry.set_item("bytes", delivery.bytes)?;
    entry.set_item("outcome", delivery.outcome.as_str())?;
    entry.set_item("status", delivery.status)?;
    entry.set_item("body", receipt.body.as_deref())?;
    Ok(entry)
}
