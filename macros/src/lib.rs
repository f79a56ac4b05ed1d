//! `#[derive(UsageRecord)]` makes a struct a record of an engine's own.
//!
//! Each field of the struct states whether it is sent and as which attribute; a field that does not is a
//! compile error. The macro implements `DescribedRecord` and `UsageRecord` with public constructors of
//! `otel_usage::schema` only. Engines use it as `otel_usage::UsageRecord` (feature `derive`).

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
/// Each field has exactly one classification. A field without one does not compile:
///
/// - `#[usage(sent = "my_engine.layers")]`: the field is sent as this OpenTelemetry attribute. The first
///   paragraph of its doc comment is the meaning in the data dictionary and must not be missing. Text
///   needs `sanitize(..)` or `free_text` as well.
/// - `#[usage(private)]`: the field is never sent.
///
/// Options beside `sent`:
///
/// | option | meaning | default |
/// | --- | --- | --- |
/// | `wire = "layers"` | the key on the wire | the field's own name |
/// | `unit = "{layer}"` | the unit, in UCUM | none |
/// | `absent = 0` | what is sent for `None` | `null` |
/// | `left_out` | the key is left out for `None`; not on the first field of a message | |
/// | `sanitize(scheme_only, ..)` | sanitizers that change the value, in this order | |
/// | `free_text` | text is sent as it was written, except that its length is limited | |
/// | `privacy = identity` | data class: `configuration`, `identity`, `machine` or `workload` | `configuration` |
/// | `example = 32` | a value as it may be sent | `null` |
/// | `since = "1.2"` | the version that first sent it | the first version |
///
/// Sanitizers: `cap_len(64)`, `choice("a", "b")`, `path_or_repo_id`, `round_significant(2)`,
/// `scheme_only`, `uuid`. A sanitizer without effect on the field's type does not compile.
///
/// A constant is a number, a text, `true`, `false`, `null` or a list of numbers or texts.
///
/// `#[usage(record = "..", crate = "path::to::it")]` names the library if its path is another one.
#[proc_macro_derive(UsageRecord, attributes(usage))]
pub fn derive_usage_record(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    record::Record::new(&input)
        .map_or_else(syn::Error::into_compile_error, |record| expand::expand(&record))
        .into()
}
