//! Flattens a Resource and a record into the message of the wire.
//!
//! [`flatten`] is pure, so the engine, a preview, and a bridge in another process and time zone make
//! the same bytes. A [`Message`] is a view: it looks values up when it is serialised, in the
//! contract's order.

use std::borrow::Cow;

use opentelemetry::Value;
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::compile::{CompiledField, CompiledMessage, Slot};
use crate::json;
use crate::wire_value::{of_attribute, of_literal};
use crate::{CompiledContract, Field, MessageSpec, Record, ResourceValues, Source, WireValue};

/// Flattens `record`. Returns `None` for the span of the whole run, which has no message.
///
/// `resource` and `record` must have been read by `contract`.
#[must_use]
pub fn flatten<'a>(
    contract: &'a CompiledContract,
    resource: &'a ResourceValues,
    record: &'a Record,
) -> Option<Message<'a>> {
    let (spec, compiled) = contract.message(record)?;
    Some(Message { spec, compiled, resource, record })
}

/// One flat message, ready to be serialised.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    spec: &'a MessageSpec,
    compiled: &'a CompiledMessage,
    resource: &'a ResourceValues,
    record: &'a Record,
}

impl<'a> Message<'a> {
    /// Returns the receiver's name of this message, for example `EnvMessage`.
    #[must_use]
    pub fn name(&self) -> &'a str {
        &self.spec.name
    }

    /// Returns the path below the server's base URL; empty for the base URL itself.
    #[must_use]
    pub fn endpoint(&self) -> &'a str {
        &self.spec.endpoint
    }

    /// Returns the contract's table of this message.
    #[must_use]
    pub const fn spec(&self) -> &'a MessageSpec {
        self.spec
    }

    /// Returns the fields with their values, in the order of the wire.
    pub fn fields(&self) -> impl Iterator<Item = (&'a Field, WireValue<'a>)> + '_ {
        self.places().filter_map(|(field, compiled)| Some((field, self.value(field, compiled)?)))
    }

    fn places(&self) -> impl Iterator<Item = (&'a Field, &'a CompiledField)> + use<'a> {
        self.spec.fields.iter().zip(&self.compiled.fields)
    }

    /// Returns the value of a field, or `None` if the key is left out.
    #[inline]
    fn value(&self, field: &'a Field, compiled: &'a CompiledField) -> Option<WireValue<'a>> {
        let found = match self.found(field, compiled) {
            None if field.optional => return None,
            found => found,
        };
        Some(found.unwrap_or_else(|| of_literal(&field.absent, field)))
    }

    #[inline]
    fn found(&self, field: &'a Field, compiled: &'a CompiledField) -> Option<WireValue<'a>> {
        let resource = |index: &usize| self.resource.value(*index);
        let value = match &compiled.slot {
            Slot::Constant => match &field.source {
                // An omitted field is encoded like an absent one.
                Source::Constant(literal) if !field.optional => {
                    return Some(of_literal(literal, field));
                }
                _ => None,
            },
            Slot::Time => return Some(WireValue::Int(self.record.time_nanos())),
            Slot::Record(index) => self.record.value(*index),
            Slot::Resource(index) => resource(index),
            Slot::ResourceOr { place, fallback, unless } => match resource(place) {
                None if resource(unless).is_none() => resource(fallback),
                value => value,
            },
            Slot::ResourceJoined(indices) => {
                let parts: Vec<Cow<'_, str>> = indices
                    .iter()
                    .map(|index| resource(index).map_or(Cow::Borrowed(""), Value::as_str))
                    .collect();
                return Some(WireValue::Str(Cow::Owned(parts.join(","))));
            }
            Slot::ResourceMapped(index) => return self.mapped(field, *index),
        };
        of_attribute(value?, field)
    }

    fn mapped(&self, field: &'a Field, index: usize) -> Option<WireValue<'a>> {
        let Source::ResourceMapped(_, words) = &field.source else { return None };
        let Value::String(value) = self.resource.value(index)? else { return None };
        let (_, wire) = words.iter().find(|(attribute, _)| attribute == value.as_str())?;
        Some(WireValue::Str(Cow::Borrowed(wire)))
    }

    /// Returns the exact bytes of the wire: one flat JSON object, spelt as Python's `json.dumps` does.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = Vec::with_capacity(2048);
        self.append_json(&mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    /// Appends the exact bytes of the wire to `out`.
    ///
    /// The bytes are those of the implementation of [`Serialize`] in the spelling of Python. Writing is faster, because
    /// the keys were encoded when the contract was compiled.
    pub fn append_json(&self, out: &mut Vec<u8>) {
        self.append_some_json(out, |_| true);
    }

    /// Appends the bytes of the wire to `out`, with those fields only for which `keep` is true.
    pub fn append_some_json(&self, out: &mut Vec<u8>, keep: impl Fn(&Field) -> bool) {
        out.push(b'{');
        let start = out.len();
        for (field, compiled) in self.places() {
            if !keep(field) {
                continue;
            }
            let Some(value) = self.value(field, compiled) else { continue };
            let key = self.compiled.key(compiled);
            let first = out.len() == start;
            out.extend_from_slice(if first { key.strip_prefix(b", ").unwrap_or(key) } else { key });
            match value {
                WireValue::Bool(true) => out.extend_from_slice(b"true"),
                WireValue::Bool(false) => out.extend_from_slice(b"false"),
                WireValue::Null => out.extend_from_slice(b"null"),
                WireValue::Str(text) => json::append_text(out, &text),
                value => json::append(out, &value),
            }
        }
        out.push(b'}');
    }

    /// Returns the message for a human reader: one field a line, indented by two spaces.
    #[must_use]
    pub fn to_pretty_json(&self) -> String {
        let lines: Vec<String> = self
            .fields()
            .map(|(field, value)| {
                format!("  {}: {}", json::to_string(&field.name), json::to_string(&value))
            })
            .collect();
        format!("{{\n{}\n}}", lines.join(",\n"))
    }
}

impl Serialize for Message<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (field, value) in self.fields() {
            map.serialize_entry(field.name.as_ref(), &value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::{KeyValue, StringValue};

    use super::*;
    use crate::{Contract, RESOURCE_ATTRIBUTES, Type, UsageRecord, lmcache, vllm};

    #[test]
    fn append_json_equals_serde_for_every_message() {
        let odd = "é\u{7f}😀\n\"\\ and a plain tail";
        let extended = vllm::CURRENT.clone().with_field(
            "report",
            Field::record(odd, Type::Strs, "bench.words", "A key that needs escapes."),
        );
        for contract in Contract::built_in().into_iter().chain([&extended]) {
            for text in ["", "plain", odd, "\u{0}\u{1f} ~"] {
                check(contract, text);
            }
        }
    }

    /// Compares both encoders for every message, once with every attribute and once with none.
    fn check(contract: &Contract, text: &str) {
        let compiled = CompiledContract::new(contract).unwrap();
        let value = |ty: Type| match ty {
            Type::Bool => Value::Bool(true),
            Type::Float => Value::F64(1e-7),
            Type::Int => Value::I64(i64::MIN),
            Type::Histogram | Type::Ints => Value::Array(vec![1_i64, -2].into()),
            Type::Str => Value::String(text.to_owned().into()),
            Type::Strs => Value::Array(vec![StringValue::from(text.to_owned())].into()),
        };
        let unknown = compiled.unknown_resource();
        let mut known = unknown.clone();
        for attribute in RESOURCE_ATTRIBUTES.iter().chain(contract.attributes.iter()) {
            compiled.set(&mut known, &attribute.name, value(attribute.ty), &mut |_, _| {});
        }
        for spec in contract.messages.iter() {
            let all: Vec<KeyValue> = spec
                .fields
                .iter()
                .filter_map(|field| {
                    Some(KeyValue::new(field.source.record()?.to_owned(), value(field.ty)))
                })
                .collect();
            for (resource, attributes) in [(&known, all), (&unknown, Vec::new())] {
                let record =
                    compiled.read_record(&spec.record, &attributes, 7, &mut |_, _| {}).unwrap();
                let message = flatten(&compiled, resource, &record).unwrap();
                assert_eq!(message.to_json(), json::to_string(&message));
            }
        }
    }

    #[test]
    fn a_histogram_of_an_own_contract_has_a_bucket_above_its_bounds() {
        let field =
            Field::record("sizes", Type::Histogram, "own.sizes", "").distributed(&[1.0, 2.5]);
        let value = Value::Array(vec![4_i64, 2, 1].into());
        let wire = of_attribute(&value, &field).unwrap();
        assert_eq!(json::to_string(&wire), r#"{"1": 4, "2.5": 2, "+Inf": 1}"#);
        let older = field.with_buckets(crate::Buckets::Below);
        let wire = of_attribute(&value, &older).unwrap();
        assert_eq!(json::to_string(&wire), r#"{"1": 4, "2.5": 2}"#);
    }

    /// Compares the message of a default record with that of a record without attributes.
    fn default_is_absent<R: UsageRecord + Default>(contract: &Contract) {
        let compiled = CompiledContract::new(contract).unwrap();
        let resource = compiled.unknown_resource();
        let kind = R::default().kind().to_owned();
        let message = |attributes: &[KeyValue]| {
            let record = compiled.read_record(&kind, attributes, 7, &mut |_, _| {}).unwrap();
            flatten(&compiled, &resource, &record).unwrap().to_pretty_json()
        };
        assert_eq!(message(&R::default().attributes()), message(&[]), "{} {kind}", contract.id);
    }

    #[test]
    fn default_records_send_what_the_contract_sends_for_absent_attributes() {
        for contract in [&vllm::CURRENT, &vllm::V0_11, &vllm::V0_7, &vllm::V0_4_0] {
            default_is_absent::<vllm::Report>(contract);
        }
        for contract in [&lmcache::V1, &lmcache::LEGACY, &lmcache::DOC] {
            default_is_absent::<lmcache::Engine>(contract);
        }
        default_is_absent::<lmcache::MpServer>(&lmcache::V1);
    }
}
