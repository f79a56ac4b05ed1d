//! The collector's allow-list. In: contracts. Out: the attribute names that may pass, as a YAML list.
//!
//! One list serves Resource and span attributes, as the collector's redaction processor has it.

use std::collections::BTreeSet;

use otel_usage::Contract;
use otel_usage::schema::{ENVIRONMENT, transport};

pub(super) fn list(contracts: &[Contract]) -> String {
    let mut text =
        "# Generated from the contracts by `otel-usage schema --format collector`.\n".to_owned();
    for name in names(contracts) {
        text.push_str(&format!("- {name}\n"));
    }
    text
}

/// Every attribute that a record of these contracts carries.
fn names(contracts: &[Contract]) -> BTreeSet<&str> {
    let transport =
        [transport::CONTRACT, transport::RECORD, transport::RECORD_ID, transport::DELIVERY];
    let resource = contracts.iter().flat_map(|contract| contract.attributes.iter());
    let fields = contracts.iter().flat_map(|contract| contract.messages.iter());
    let record =
        fields.flat_map(|spec| spec.fields.iter()).filter_map(|field| field.source.record());
    ENVIRONMENT
        .iter()
        .chain(resource)
        .map(|attribute| attribute.name.as_ref())
        .chain(record)
        .chain(transport)
        .collect()
}
