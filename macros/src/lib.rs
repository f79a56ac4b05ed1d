//! `#[derive(UsageRecord)]`: an engine's own record.
//!
//! In: a struct whose every field says whether it is sent and as what. Out: `DescribedRecord` and
//! `UsageRecord` for it, by the public constructors of `otel_usage::schema` and nothing else, or an error at
//! the field that says too little. Used through `otel_usage::UsageRecord` (feature `derive`).

mod constant;
mod expand;
mod options;
mod record;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct a record of an engine's own, with the contract's row for each field that is sent.
///
/// On the struct: `#[usage(record = "my_engine.report")]`, the record's kind.
///
/// On each field exactly one classification; one without does not compile:
///
/// - `#[usage(sent = "my_engine.layers")]`: leaves, as this OpenTelemetry attribute. The doc comment's
///   first paragraph is the meaning in the data dictionary; without one it does not compile. Text needs
///   `sanitize(..)` or `free_text` beside it.
/// - `#[usage(private)]`: never leaves.
///
/// Beside `sent`:
///
/// | option | meaning | if it is not said |
/// | --- | --- | --- |
/// | `wire = "layers"` | the key on the wire | the field's own name |
/// | `unit = "{layer}"` | the unit, in UCUM | none |
/// | `absent = 0` | what is sent for `None` | `null` |
/// | `left_out` | the key is left out for `None`; not on the first field of a message | |
/// | `sanitize(scheme_only, ..)` | what is done to the value, step by step | |
/// | `free_text` | text whose writer decides what is in it, only capped in length | |
/// | `kind = identity` | `configuration`, `identity`, `machine` or `workload` | `configuration` |
/// | `example = 32` | a value as it may be sent | `null` |
/// | `since = "1.2"` | the version that first sent it | it was always there |
///
/// Steps of `sanitize`: `cap_len(64)`, `choice("a", "b")`, `path_or_repo_id`, `round_significant(2)`,
/// `scheme_only`, `uuid`. One that has no effect on the field's type does not compile.
///
/// A constant is a number, a text, `true`, `false`, `null` or a list of numbers or texts.
///
/// Where the library has another name: `#[usage(record = "..", crate = "path::to::it")]`.
#[proc_macro_derive(UsageRecord, attributes(usage))]
pub fn derive_usage_record(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    record::Record::new(&input)
        .map_or_else(syn::Error::into_compile_error, |record| expand::expand(&record))
        .into()
}
