//! Reads attributes by a contract: the only form in which values go on to an exporter.
//!
//! [`ResourceValues`] and [`Record`] hold one place for each declared attribute and no place for
//! anything else. This is where the world is closed: an attribute without a place is counted and
//! left out, before any exporter sees it.

use opentelemetry::{KeyValue, Value};

use crate::value::{coerce, sanitize};
use crate::{Attribute, CompiledContract, Loss, Sanitizer, transport};

/// The values of the declared Resource attributes: what is known of the machine and the engine.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceValues {
    values: Vec<Option<Value>>,
}

/// The values of the declared attributes of one kind, with a time and an identity.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The place of the record's message in the contract. `None` for the span of the whole run.
    pub(crate) message: Option<usize>,
    values: Vec<Option<Value>>,
    id: String,
    time_nanos: i64,
}

impl CompiledContract {
    /// Returns Resource values in which nothing is known yet.
    #[must_use]
    pub fn unknown_resource(&self) -> ResourceValues {
        ResourceValues { values: vec![None; self.resource.len()] }
    }

    /// Sets one Resource attribute, coerced to its declared type and sanitized.
    ///
    /// Undeclared attributes and values of the wrong type go to `lost` and are left out.
    pub fn set(
        &self,
        resource: &mut ResourceValues,
        name: &str,
        value: Value,
        lost: &mut dyn FnMut(Loss, &str),
    ) {
        let declared = self.resource.iter().zip(&mut resource.values);
        match declared.into_iter().find(|(attribute, _)| attribute.name == name) {
            Some((attribute, place)) => match coerce(value, attribute.ty) {
                Ok((value, cut)) => {
                    *place = Some(sanitize(value, &attribute.sanitize));
                    cut.into_iter().for_each(|loss| lost(loss, name));
                }
                Err(loss) => lost(loss, name),
            },
            None if self.is_omitted(name) => {}
            None => lost(Loss::UndeclaredAttribute, name),
        }
    }

    /// Reads the declared attributes of a Resource without sanitizing them.
    ///
    /// A key that occurs twice keeps its last value.
    #[must_use]
    pub fn read_resource(&self, attributes: &[KeyValue]) -> ResourceValues {
        let mut resource = self.unknown_resource();
        read(&self.resource, &mut resource.values, attributes, &mut |_, _| {});
        resource
    }

    /// Returns the Resource attributes that are known, in the contract's order.
    pub fn resource_attributes<'a>(
        &'a self,
        resource: &'a ResourceValues,
    ) -> impl Iterator<Item = KeyValue> + 'a {
        key_values(&self.resource, &resource.values)
    }

    /// Reads the declared attributes of a record without sanitizing them.
    ///
    /// `time_nanos` counts from the Unix epoch. Returns `None` and tells `lost` why, if the contract
    /// has no such kind or if the attributes name another contract. A key that occurs twice keeps
    /// its last value.
    pub fn read_record(
        &self,
        kind: &str,
        attributes: &[KeyValue],
        time_nanos: i64,
        lost: &mut dyn FnMut(Loss, &str),
    ) -> Option<Record> {
        let message = self.message_of(kind);
        if message.is_none() && kind != transport::RUN {
            lost(Loss::UnknownRecord, kind);
            return None;
        }
        let named = |name: &str| {
            let found = attributes.iter().rfind(|attribute| attribute.key.as_str() == name);
            found.map(|attribute| attribute.value.as_str())
        };
        if let Some(contract) = named(transport::CONTRACT)
            && contract != self.contract.id
        {
            lost(Loss::ForeignContract, &contract);
            return None;
        }
        let id = named(transport::RECORD_ID).map(Into::into).unwrap_or_default();
        let declared = self.attributes_of(message);
        let mut values = vec![None; declared.len()];
        read(declared, &mut values, attributes, &mut |loss, name| {
            let known = transport::names().any(|known| known == name);
            if !known && !self.is_omitted(name) {
                lost(loss, name);
            }
        });
        Some(Record { message, values, id, time_nanos })
    }

    /// Runs the contract's sanitizers over Resource values that another process has made.
    ///
    /// Values that were made here have been through them, and a second pass changes nothing.
    pub fn sanitize_resource(&self, resource: &mut ResourceValues) {
        clean(&mut resource.values, &self.resource);
    }

    /// Runs the contract's sanitizers over a record. An identity that is no UUID becomes empty.
    pub fn sanitize_record(&self, record: &mut Record) {
        clean(&mut record.values, self.attributes_of(record.message));
        record.id = Sanitizer::Uuid.text(&record.id).into_owned();
    }

    /// Returns the attributes of the span that carries `record`: transport attributes and declared
    /// ones, nothing else.
    ///
    /// `direct` tells a bridge that this process posts to the usage server itself.
    #[must_use]
    pub fn span_attributes(&self, record: &Record, direct: bool) -> Vec<KeyValue> {
        let mut attributes = vec![
            KeyValue::new(transport::CONTRACT, self.contract.id.clone()),
            KeyValue::new(transport::RECORD_KIND, record.kind(self).to_owned()),
            KeyValue::new(transport::RECORD_ID, record.id.clone()),
        ];
        if direct {
            attributes.push(KeyValue::new(transport::DELIVERY, "direct"));
        }
        attributes.extend(key_values(self.attributes_of(record.message), &record.values));
        attributes
    }

    fn attributes_of(&self, message: Option<usize>) -> &[Attribute] {
        let message = message.and_then(|index| self.messages.get(index));
        message.map_or(&[][..], |message| &message.attributes)
    }
}

impl ResourceValues {
    pub(crate) fn value(&self, index: usize) -> Option<&Value> {
        self.values.get(index)?.as_ref()
    }
}

impl Record {
    pub(crate) fn value(&self, index: usize) -> Option<&Value> {
        self.values.get(index)?.as_ref()
    }

    /// Returns the record's kind: the name of its span.
    #[must_use]
    pub fn kind<'a>(&self, contract: &'a CompiledContract) -> &'a str {
        self.message
            .and_then(|index| contract.contract.messages.get(index))
            .map_or(transport::RUN, |spec| spec.record.as_ref())
    }

    /// Returns the record's time. Unit: nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn time_nanos(&self) -> i64 {
        self.time_nanos
    }

    /// Returns the record's identity, a UUID v4. It is empty until [`Record::set_id`] gives one.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Gives the record an identity.
    pub fn set_id(&mut self, id: String) {
        self.id = id;
    }
}

/// Puts each declared attribute in its place; the others and the unreadable ones go to `lost`.
fn read(
    declared: &[Attribute],
    values: &mut [Option<Value>],
    attributes: &[KeyValue],
    lost: &mut dyn FnMut(Loss, &str),
) {
    // Attributes mostly come in the contract's order, so the expected place is tried first.
    let mut expected = 0_usize;
    for KeyValue { key, value, .. } in attributes {
        let name = key.as_str();
        let index = match declared.get(expected) {
            Some(attribute) if attribute.name == name => Some(expected),
            _ => declared.iter().position(|attribute| attribute.name == name),
        };
        let found = index.and_then(|i| Some((i, declared.get(i)?, values.get_mut(i)?)));
        let Some((index, attribute, place)) = found else {
            lost(Loss::UndeclaredAttribute, name);
            continue;
        };
        expected = index.saturating_add(1);
        match coerce(value.clone(), attribute.ty) {
            Ok((value, cut)) => {
                *place = Some(value);
                cut.into_iter().for_each(|loss| lost(loss, name));
            }
            Err(loss) => lost(loss, name),
        }
    }
}

fn key_values<'a>(
    declared: &'a [Attribute],
    values: &'a [Option<Value>],
) -> impl Iterator<Item = KeyValue> + 'a {
    declared.iter().zip(values).filter_map(|(attribute, value)| {
        Some(KeyValue::new(attribute.name.clone(), value.clone()?))
    })
}

/// Replaces each value by what its attribute's sanitizers leave of it.
fn clean(values: &mut [Option<Value>], attributes: &[Attribute]) {
    for (value, attribute) in values.iter_mut().zip(attributes) {
        *value = value.take().map(|value| sanitize(value, &attribute.sanitize));
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::{Array, KeyValue, StringValue, Value};

    use crate::{CompiledContract, Contract, Field, Loss, MessageSpec, Trigger, Type, flatten};

    #[test]
    fn numbers_beyond_64_bits_and_long_lists_are_counted() {
        let message = MessageSpec::new("m", "t.report", Trigger::Record).at("v1");
        let contract = Contract::new("t/1", "t")
            .with_message(message)
            .with_field("m", Field::record("n", Type::Int, "t.n", "A number."))
            .with_field("m", Field::record("l", Type::Ints, "t.l", "A list."))
            .with_field("m", Field::record("w", Type::Strs, "t.w", "A list of words."));
        let compiled = CompiledContract::new(&contract).unwrap();
        let unknown = compiled.unknown_resource();
        let (most, beyond) = ("9223372036854775807", "9223372036854775808");
        let long = |entries: usize| format!("{:?}", vec![1; entries]);
        let words =
            |entries: usize| Value::Array(Array::String(vec![StringValue::from("x"); entries]));
        let text = |text: &str| Value::from(text.to_owned());
        for (name, value, wire, loss) in [
            ("t.n", text(most), format!("\"n\": {most}"), None),
            ("t.n", text(beyond), "\"n\": null".to_owned(), Some(Loss::WrongType)),
            ("t.n", text("-9223372036854775809"), "\"n\": null".to_owned(), Some(Loss::WrongType)),
            ("t.n", Value::F64(1e19), "\"n\": null".to_owned(), Some(Loss::WrongType)),
            (
                "t.l",
                text(&format!("[1, {beyond}]")),
                "\"l\": null".to_owned(),
                Some(Loss::WrongType),
            ),
            ("t.l", text(&long(64)), format!("\"l\": {}", long(64)), None),
            ("t.l", text(&long(65)), format!("\"l\": {}", long(64)), Some(Loss::TooLong)),
            ("t.w", words(64), format!("\"w\": {:?}", ["x"; 64]), None),
            ("t.w", words(65), format!("\"w\": {:?}", ["x"; 64]), Some(Loss::TooLong)),
        ] {
            let mut losses = Vec::new();
            let attributes = [KeyValue::new(name, value)];
            let mut lost = |loss, of: &str| losses.push((loss, of.to_owned()));
            let record = compiled.read_record("t.report", &attributes, 7, &mut lost).unwrap();
            let message = flatten(&compiled, &unknown, &record).unwrap();
            assert!(message.to_json().contains(&wire), "{} lacks {wire}", message.to_json());
            let expected: Vec<_> = loss.into_iter().map(|loss| (loss, name.to_owned())).collect();
            assert_eq!(losses, expected, "{wire}");
        }
    }
}
