//! The collector's allow-list. In: contracts. Out: the attribute names that may pass, as a configuration
//! that a collector takes beside one of `otel-collector/config/`, whose list it replaces.
//!
//! One list serves Resource and span attributes, as the collector's redaction processor has it.

use std::collections::BTreeSet;

use otel_usage::Contract;
use otel_usage::schema::{ENVIRONMENT, transport};

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
