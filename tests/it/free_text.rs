//! Compares the fields and attributes that may hold any text with the checked-in list `free_text.txt`.
//!
//! A new free text, or a removed sanitizer, must be added to that list. Every free text has a length
//! limit.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use otel_usage::Contract;
use otel_usage::schema::sanitize::Sanitizer;
use otel_usage::schema::{Attribute, Field, RESOURCE_ATTRIBUTES};

const SNAPSHOT: &str = include_str!("free_text.txt");

fn is_free(attribute: &&Attribute) -> bool {
    attribute.ty.is_text() && attribute.sanitize.iter().all(Sanitizer::leaves_free_text)
}

fn list() -> String {
    let mut out = String::from("# Fields on the wire: contract, message, field.\n");
    for contract in Contract::built_in() {
        for spec in contract.messages.iter() {
            for field in spec.fields.iter().filter(|field| contract.is_free_text(field)) {
                let _ = writeln!(out, "{} {} {}", contract.id, spec.name, field.name);
            }
        }
    }
    out.push_str("# Attributes of the Resource, which OTLP carries.\n");
    let own = Contract::built_in().into_iter().flat_map(|contract| contract.attributes.iter());
    let names: BTreeSet<&str> = RESOURCE_ATTRIBUTES
        .iter()
        .chain(own)
        .filter(is_free)
        .map(|found| found.name.as_ref())
        .collect();
    names.iter().for_each(|name| {
        let _ = writeln!(out, "{name}");
    });
    out
}

#[test]
fn the_free_text_fields_equal_the_documented_list() {
    let now = list();
    if now != SNAPSHOT {
        let new = concat!(env!("CARGO_TARGET_TMPDIR"), "/free_text.txt");
        std::fs::write(new, &now).unwrap();
        panic!(
            "the free texts are others than in tests/it/free_text.txt; if that is meant, copy {new} there \
             and say so in CHANGELOG.md under *Changes in what is sent*"
        );
    }
}

#[test]
fn every_free_text_is_capped() {
    let capped = |steps: &[Sanitizer]| {
        steps.iter().any(|step| matches!(step, Sanitizer::CapLen(limit) if *limit <= 1024))
    };
    for contract in Contract::built_in() {
        for attribute in
            RESOURCE_ATTRIBUTES.iter().chain(contract.attributes.iter()).filter(is_free)
        {
            assert!(capped(&attribute.sanitize), "{}", attribute.name);
        }
        let fields = contract.messages.iter().flat_map(|spec| spec.fields.iter());
        for field in fields.filter(|field| contract.is_free_text(field)) {
            let from_record = |field: &Field| field.source.record().is_some();
            let names = field.source.resources();
            let sound =
                names.iter().all(|name| capped(&contract.attribute(name).unwrap().sanitize));
            assert!(
                if from_record(field) { capped(&field.sanitize) } else { sound },
                "{}",
                field.name
            );
        }
    }
}

#[test]
fn a_sanitized_field_is_not_on_the_free_text_list() {
    let contract = otel_usage_testing::world::everything();
    let free: Vec<&str> = contract.messages[0]
        .fields
        .iter()
        .filter(|field| contract.is_free_text(field))
        .map(|field| field.name.as_ref())
        .collect();
    assert_eq!(free, ["where", "text", "texts", "maybe"]);
}
