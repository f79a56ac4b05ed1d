//! A contract made ready for use.
//!
//! In: a [`Contract`] table. Out: a [`CompiledContract`], in which every name is resolved to a place and every
//! key is spelt; or the first mistake in the table.

use std::borrow::Cow;
use std::ops::Range;

use super::{Attribute, Contract, ENVIRONMENT, Field, MessageSpec, Record, Source, check};
use crate::error::Error;

/// A contract whose tables agree with each other, with every name resolved to a place.
#[derive(Debug)]
pub struct CompiledContract {
    pub(super) contract: Contract,
    pub(super) resource: Vec<Attribute>,
    pub(super) messages: Vec<CompiledMessage>,
}

#[derive(Debug)]
pub(crate) struct CompiledMessage {
    pub(super) attributes: Vec<Attribute>,
    pub(crate) fields: Vec<CompiledField>,
    /// What stands before each value on the wire, one field after the other.
    keys: Vec<u8>,
}

/// Where a field finds its value.
#[derive(Debug)]
pub(crate) struct CompiledField {
    pub(crate) slot: Slot,
    /// Its place in the message's `keys`.
    key: Range<usize>,
}

#[derive(Debug)]
pub(crate) enum Slot {
    Constant,
    Record(usize),
    Resource(usize),
    ResourceOr { place: usize, fallback: usize, unless: usize },
    ResourceJoined(Vec<usize>),
    ResourceMapped(usize),
    Time,
}

impl CompiledContract {
    /// Checks `contract` and resolves its names.
    ///
    /// # Errors
    ///
    /// When the tables contradict each other: a kind, a wire name or an attribute twice, a Resource
    /// attribute that is not declared, a field added to a message that is not there.
    pub fn new(contract: &Contract) -> Result<Self, Error> {
        let wrong = |what: String| Error::contract(&contract.id, what);
        let resource: Vec<Attribute> = ENVIRONMENT
            .iter()
            .chain(contract.attributes.iter())
            .filter(|attribute| !contract.omitted.contains(&attribute.name))
            .cloned()
            .collect();
        check::contract(contract, &resource).map_err(wrong)?;
        let messages = contract
            .messages
            .iter()
            .map(|spec| {
                CompiledMessage::new(spec, &resource)
                    .map_err(|what| wrong(format!("message `{}`: {what}", spec.name)))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { contract: contract.clone(), resource, messages })
    }

    /// The tables this was made from.
    #[must_use]
    pub const fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Whether records of `kind` become a message.
    #[must_use]
    pub fn has_record(&self, kind: &str) -> bool {
        self.message_of(kind).is_some()
    }

    /// Whether the operator leaves this attribute out: then it is no loss.
    pub(crate) fn is_omitted(&self, name: &str) -> bool {
        self.contract.omitted.iter().any(|omitted| omitted == name)
    }

    /// Whether the contract has this Resource attribute, and the operator has not left it out.
    pub(crate) fn has_resource(&self, name: &str) -> bool {
        self.resource.iter().any(|attribute| attribute.name == name)
    }

    pub(super) fn message_of(&self, kind: &str) -> Option<usize> {
        self.contract.messages.iter().position(|spec| spec.record == kind)
    }

    /// The message table behind `record`, with its resolved fields. `None` for the run's span.
    pub(crate) fn message(&self, record: &Record) -> Option<(&MessageSpec, &CompiledMessage)> {
        let index = record.message?;
        Some((self.contract.messages.get(index)?, self.messages.get(index)?))
    }
}

impl CompiledMessage {
    fn new(spec: &MessageSpec, resource: &[Attribute]) -> Result<Self, String> {
        check::message(spec)?;
        let mut attributes = Vec::with_capacity(spec.fields.len());
        let mut fields = Vec::with_capacity(spec.fields.len());
        // Most keys are shorter, with their quotes and separators.
        let mut keys = Vec::with_capacity(spec.fields.len().saturating_mul(32));
        for field in spec.fields.iter() {
            let start = keys.len();
            keys.extend_from_slice(if fields.is_empty() { b"" } else { b", " });
            crate::json::append_text(&mut keys, &field.name);
            keys.extend_from_slice(b": ");
            let slot = slot(field, &mut attributes, resource)?;
            fields.push(CompiledField { slot, key: start..keys.len() });
        }
        Ok(Self { attributes, fields, keys })
    }

    /// The bytes between the value before `field` and its own: `, "key": `.
    pub(crate) fn key(&self, field: &CompiledField) -> &[u8] {
        self.keys.get(field.key.clone()).unwrap_or_default()
    }
}

fn slot(
    field: &Field,
    record: &mut Vec<Attribute>,
    resource: &[Attribute],
) -> Result<Slot, String> {
    let place = |name: &str| {
        resource.iter().position(|attribute| attribute.name == name).ok_or_else(|| {
            format!("field `{}` reads the undeclared resource attribute `{name}`", field.name)
        })
    };
    let places = |names: &[Cow<'static, str>]| {
        names.iter().map(|name| place(name)).collect::<Result<_, _>>()
    };
    Ok(match &field.source {
        Source::Constant(_) => Slot::Constant,
        Source::Time => Slot::Time,
        Source::Resource(name) => Slot::Resource(place(name)?),
        Source::ResourceOr { name, fallback, unless } => Slot::ResourceOr {
            place: place(name)?,
            fallback: place(fallback)?,
            unless: place(unless)?,
        },
        Source::ResourceJoined(names) => Slot::ResourceJoined(places(names)?),
        Source::ResourceMapped(name, _) => Slot::ResourceMapped(place(name)?),
        Source::Record(name) => {
            if record.iter().any(|attribute| attribute.name == *name) {
                return Err(format!("two fields read the attribute `{name}`"));
            }
            record.push(Attribute {
                name: name.clone(),
                ty: field.ty.of_attribute(),
                sanitize: field.sanitize.clone(),
                doc: field.doc.clone(),
                privacy: field.privacy,
                example: field.example.clone(),
            });
            Slot::Record(record.len().saturating_sub(1))
        }
    })
}
