//! The native part of the Python package `otel_usage`.
//!
//! Its threads never attach to Python: in a build for several Python versions nothing could tell them that the
//! interpreter is ending. Their messages to Python wait until it asks. They never read the environment of the
//! process either, because Python may change it at any time; each handle gets a snapshot.

mod ask;
mod contract;
mod handle;
mod notices;
mod own;
mod usage;
mod value;

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;

/// The module `otel_usage._native`.
#[pymodule(gil_used = true)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    refuse_subinterpreter(module.py())?;
    notices::keep_panics();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<usage::NativeUsage>()?;
    module.add_function(wrap_pyfunction!(ask::decide, module)?)?;
    module.add_function(wrap_pyfunction!(ask::inspect, module)?)?;
    module.add_function(wrap_pyfunction!(ask::receipts, module)?)?;
    module.add_function(wrap_pyfunction!(contract::kinds, module)?)?;
    module.add_function(wrap_pyfunction!(own::make_contract, module)?)?;
    module.add_function(wrap_pyfunction!(own::like_contract, module)?)
}

/// CPython 3.10 and 3.11 load an extension into a sub-interpreter without a word, and its classes would then belong
/// to two interpreters. Later versions refuse by themselves.
fn refuse_subinterpreter(_py: Python<'_>) -> PyResult<()> {
    // Python has a module for this question, whose import would take a third of the time of ours.
    #[expect(unsafe_code, reason = "PyO3 has no safe call for it")]
    // SAFETY: the thread is attached to an interpreter, as `_py` shows, so that there is a current one.
    let number = unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) };
    // The main interpreter is the first one.
    if number == 0 {
        Ok(())
    } else {
        Err(PyImportError::new_err("otel_usage cannot be loaded in a sub-interpreter"))
    }
}
