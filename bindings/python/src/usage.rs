//! The class `otel_usage._native.Usage`: the library's handle in Python's types.
//!
//! Each call catches a panic below, because Python would raise it as an exception that `except Exception` does not
//! catch. Whatever waits releases the interpreter's lock first.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

use opentelemetry::KeyValue;
use otel_usage::schema::Loss;
use otel_usage::settings::Env;
use otel_usage::{Accelerators, Consent, Flush, Usage};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use std::ffi::OsString;
use tracing::Level;

use crate::contract;
use crate::handle::{Handle, Recipe};
use crate::notices::{self, Notices};
use crate::value::{self, Record};

/// Longest wait that a caller may ask for.
const LONGEST_WAIT: f64 = 3600.0;

/// A handle of the library.
#[pyclass(frozen, name = "Usage", module = "otel_usage._native")]
#[derive(Debug)]
pub(crate) struct NativeUsage(Handle);

/// Returns what `call` returns, or the default if it panics.
fn quiet<T: Default>(call: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_default()
}

/// Returns the variables of a `dict` such as `os.environ`.
pub(crate) fn environment(variables: &Bound<'_, PyDict>) -> Env {
    Env::given(variables.iter().filter_map(|(name, value)| {
        Some((word(&name)?.into_string().ok()?, word(&value).unwrap_or_default()))
    }))
}

/// Returns a name or a value of the environment. A switch counts also if it is a number, or bytes as in `os.environb`,
/// because an opt-out that is left out would be none.
fn word(given: &Bound<'_, PyAny>) -> Option<OsString> {
    if let Ok(bytes) = given.cast::<PyBytes>() {
        return Some(String::from_utf8_lossy(bytes.as_bytes()).into_owned().into());
    }
    let text = |given: &Bound<'_, PyAny>| given.extract::<OsString>().ok();
    text(given).or_else(|| text(given.str().ok()?.as_any()))
}

#[pymethods]
impl NativeUsage {
    #[new]
    #[pyo3(signature = (
        contract, env, *, version = None, accelerators = None, attributes = None, local_log = None, file = None,
        server = None, instance_id = None, consent = None, recorded_only = false, declared = None, sample = false,
    ))]
    #[expect(clippy::too_many_arguments, reason = "Python calls it by keywords")]
    fn new(
        contract: &str,
        env: &Bound<'_, PyDict>,
        version: Option<String>,
        accelerators: Option<(i64, String, i64)>,
        attributes: Option<&Bound<'_, PyDict>>,
        local_log: Option<PathBuf>,
        file: Option<PathBuf>,
        server: Option<String>,
        instance_id: Option<String>,
        consent: Option<bool>,
        recorded_only: bool,
        declared: Option<Vec<contract::Declared>>,
        sample: bool,
    ) -> PyResult<Self> {
        let mut contract = contract::find(contract)?;
        for field in declared.iter().flatten() {
            contract = contract::with_declared(contract, field)?;
        }
        if recorded_only {
            contract = contract::recorded_only(contract);
        }
        let recipe = Recipe {
            contract,
            environment: environment(env),
            version,
            accelerators: accelerators
                .map(|(count, name, bytes)| Accelerators::new(count, name, bytes)),
            attributes: attributes.map(|all| value::named(all).collect()).unwrap_or_default(),
            local_log,
            file,
            server,
            consent: consent.map(|on| if on { Consent::Granted } else { Consent::Off }),
            sample,
            notices: Notices::default(),
        };
        catch_unwind(AssertUnwindSafe(|| Self(Handle::new(recipe, instance_id))))
            .map_err(|_| PyValueError::new_err("usage reporting could not be set up"))
    }

    /// Whether collection is on in this process.
    #[getter]
    fn enabled(&self) -> bool {
        self.guarded(|| self.0.get().is_some_and(|(usage, _)| usage.is_enabled()))
    }

    /// The random identity of this process, which messages carry.
    #[getter]
    fn instance_id(&self) -> String {
        self.guarded(|| self.0.get().map(|(_, id)| id).unwrap_or_default())
    }

    /// The word of the decision, and the switch that made it.
    #[getter]
    fn decision(&self) -> (&'static str, String) {
        let decided = self.with(None, |usage| {
            let decision = usage.decision();
            Some((crate::ask::word(decision.consent), decision.because.clone()))
        });
        decided.unwrap_or_else(|| ("off", "an error".to_owned()))
    }

    /// Where messages go, without credentials.
    #[getter]
    fn destinations(&self) -> Vec<String> {
        quiet(|| {
            self.0
                .recipe()
                .builder()
                .inspect()
                .map(|found| found.destinations())
                .unwrap_or_default()
        })
    }

    #[getter]
    fn contract(&self) -> String {
        self.0.recipe().contract.id.to_string()
    }

    /// Records attributes under a kind of the contract.
    fn record(&self, kind: &str, attributes: &Bound<'_, PyDict>) {
        self.with((), |usage| {
            if usage.is_enabled() {
                let attributes = value::attributes(attributes);
                usage.record(Record { kind: kind.to_owned(), attributes });
            }
        });
    }

    /// Records what becomes the flat message `message`, from values under the keys of that message. Returns the keys
    /// that the contract does not know, which do not leave.
    fn send(&self, message: &str, values: &Bound<'_, PyDict>) -> Vec<String> {
        self.with(Vec::new(), |usage| {
            let Some((record, unknown)) = self.flat(message, values) else { return Vec::new() };
            if usage.is_enabled() {
                usage.record(record);
            }
            unknown
        })
    }

    /// Returns the bytes of one message, as they would leave. The machine is read for it, on the caller's thread.
    /// `None`: the contract has no such message.
    fn payload(&self, py: Python<'_>, message: &str, values: &Bound<'_, PyDict>) -> Option<String> {
        let (usage, _) = self.guarded(|| self.0.get())?;
        let (record, _) = self.flat(message, values)?;
        py.detach(|| {
            quiet(|| {
                let records = usage.preview(record);
                let mut messages = records.iter().filter_map(|record| record.message());
                messages.find(|flat| flat.name() == message).map(|flat| flat.to_json())
            })
        })
    }

    /// Returns the messages that a record would cause: name and bytes of each.
    fn preview(
        &self,
        py: Python<'_>,
        kind: &str,
        attributes: &Bound<'_, PyDict>,
    ) -> Vec<(String, String)> {
        let Some((usage, _)) = self.guarded(|| self.0.get()) else { return Vec::new() };
        let record = Record { kind: kind.to_owned(), attributes: value::attributes(attributes) };
        py.detach(|| {
            quiet(|| {
                let records = usage.preview(record);
                let messages = records.iter().filter_map(|record| record.message());
                messages.map(|message| (message.name().to_owned(), message.to_json())).collect()
            })
        })
    }

    /// Sets the values of the next heartbeats, under the keys of the flat message. Returns the unknown keys.
    fn heartbeat(&self, values: &Bound<'_, PyDict>) -> Vec<String> {
        self.with(Vec::new(), |usage| {
            let name = self.0.recipe().contract.messages.iter().find(|message| {
                matches!(message.trigger, otel_usage::schema::Trigger::Heartbeat { .. })
            });
            let Some(name) = name.map(|message| message.name.to_string()) else {
                return Vec::new();
            };
            let Some((record, unknown)) = self.flat(&name, values) else { return Vec::new() };
            usage.set_heartbeat(record);
            unknown
        })
    }

    /// Adds to a counter of the contract.
    #[pyo3(signature = (attribute, amount, series = None))]
    fn count(&self, attribute: &str, amount: u64, series: Option<(&str, &str)>) {
        self.with((), |usage| match series {
            Some((dimension, name)) => usage.series(dimension, name).counter(attribute).add(amount),
            None => usage.counter(attribute).add(amount),
        });
    }

    /// Sets a gauge of the contract, or makes it unknown with `None`.
    fn gauge(&self, attribute: &str, value: Option<i64>) {
        self.with((), |usage| match value {
            Some(value) => usage.gauge(attribute).set(value),
            None => usage.gauge(attribute).unset(),
        });
    }

    /// Adds a sample to a histogram of the contract.
    fn sample(&self, attribute: &str, sample: f64) {
        self.with((), |usage| usage.histogram(attribute).record(sample));
    }

    /// Waits until every message so far is delivered, lost or on disk, at most `seconds`. Returns `settled`, `durable`,
    /// `memory` or `lost`, and how many messages that concerns.
    fn flush(&self, py: Python<'_>, seconds: f64) -> (&'static str, usize) {
        let Some((usage, _)) = self.guarded(|| self.0.get()) else { return ("settled", 0) };
        let wait =
            Duration::try_from_secs_f64(seconds.clamp(0.0, LONGEST_WAIT)).unwrap_or_default();
        py.detach(|| {
            catch_unwind(AssertUnwindSafe(|| match usage.flush(wait) {
                Flush::Settled => ("settled", 0),
                Flush::Durable => ("durable", 0),
                Flush::Memory(count) => ("memory", count),
                Flush::Lost(count) => ("lost", count),
                _ => ("unknown", 0),
            }))
            .unwrap_or(("settled", 0))
        })
    }

    /// Ends the run and waits for delivery, at most 250 ms; with `wait = False` not at all.
    #[pyo3(signature = (wait = true))]
    fn finish(&self, py: Python<'_>, wait: bool) {
        let Some((usage, _)) = self.guarded(|| self.0.get()) else { return };
        py.detach(|| {
            quiet(|| if wait { usage.finish() } else { usage.finish_detached() });
        });
    }

    /// Withdraws consent for the rest of this process.
    fn withdraw(&self) {
        self.guarded(|| self.0.withdraw());
    }

    /// The lines for people that have come up since the last call: level and text.
    fn notices(&self) -> Vec<(&'static str, String)> {
        self.0.recipe().notices.take()
    }

    /// The accounts so far, as a `dict`.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.with(Default::default(), Usage::stats);
        let counts = |losses: &std::collections::BTreeMap<Loss, u64>| {
            let dict = PyDict::new(py);
            for (loss, count) in losses {
                dict.set_item(loss.as_str(), count)?;
            }
            PyResult::Ok(dict)
        };
        let all = PyDict::new(py);
        all.set_item("recorded", stats.recorded)?;
        all.set_item("lost", counts(&stats.lost)?)?;
        let exporters = PyDict::new(py);
        for exporter in &stats.exporters {
            let one = PyDict::new(py);
            one.set_item("accepted", exporter.accepted)?;
            one.set_item("delivered", exporter.delivered)?;
            one.set_item("queued", exporter.queued)?;
            one.set_item("spooled", exporter.spooled)?;
            one.set_item("dropped", counts(&exporter.dropped)?)?;
            exporters.set_item(PyString::new(py, &exporter.name), one)?;
        }
        all.set_item("exporters", exporters)?;
        Ok(all)
    }
}

impl NativeUsage {
    fn with<T>(&self, default: T, call: impl FnOnce(&Usage) -> T) -> T {
        let Some((usage, _)) = self.guarded(|| self.0.get()) else { return default };
        self.guarded(|| Some(call(&usage))).unwrap_or(default)
    }

    /// Returns what `call` returns, or the default with a line for Python's log if it panics.
    fn guarded<T: Default>(&self, call: impl FnOnce() -> T) -> T {
        catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| {
            let place = notices::last_panic();
            let line =
                format!("usage reporting met an error of its own at {place} and did nothing");
            self.0.recipe().notices.tell(Level::DEBUG, &line);
            T::default()
        })
    }

    /// Returns the record that becomes the message, and the keys that the contract does not know.
    fn flat(&self, message: &str, values: &Bound<'_, PyDict>) -> Option<(Record, Vec<String>)> {
        let spec = contract::message(&self.0.recipe().contract, message)?;
        let mut unknown = Vec::new();
        let mut attributes = Vec::new();
        for (key, value) in value::named(values) {
            match contract::attribute(spec, &key) {
                Some(name) => attributes.push(KeyValue::new(name.to_owned(), value)),
                // The library fills this key itself, as it does the identity.
                None if spec.fields.iter().any(|field| field.name == key) => {}
                None => unknown.push(key),
            }
        }
        Some((Record { kind: spec.record.to_string(), attributes }, unknown))
    }
}
