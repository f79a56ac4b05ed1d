//! Prints the allow-list of the collector, as a configuration that replaces the list in `otel-collector/config/`.
//!
//! One list serves Resource and span attributes, because the redaction processor has only one.

use std::collections::BTreeSet;

use otel_usage::Contract;
use otel_usage::schema::{RESOURCE_ATTRIBUTES, transport};

const HEAD: &str = "\
# Generated from the contracts by `otel-usage schema --format collector`.
processors:
  redaction:
    allowed_keys:
";

pub(super) fn list(contracts: &[Contract]) -> String {
    let keys = names(contracts).into_iter().map(|name| format!("      - {name}\n"));
    [HEAD.to_owned()].into_iter().chain(keys).collect()
}

/// Returns every attribute that a record of these contracts may carry.
fn names(contracts: &[Contract]) -> BTreeSet<&str> {
    let resource = contracts.iter().flat_map(|contract| contract.attributes.iter());
    let fields = contracts.iter().flat_map(|contract| contract.messages.iter());
    let record =
        fields.flat_map(|spec| spec.fields.iter()).filter_map(|field| field.source.record());
    let mut names: BTreeSet<&str> = RESOURCE_ATTRIBUTES
        .iter()
        .chain(resource)
        .map(|attribute| attribute.name.as_ref())
        .chain(record)
        .collect();
    for name in transport::names() {
        names.insert(name);
    }
    names
}
