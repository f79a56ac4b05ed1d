//! Checks a contract and resolves its names to places, so that flattening looks nothing up.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::{
    Attribute, Contract, ContractError, Field, MessageSpec, Origin, RESOURCE_ATTRIBUTES, Record,
    Source, check,
};

/// A contract whose tables agree with each other, with each name resolved to a place.
#[derive(Debug)]
pub struct CompiledContract {
    pub(crate) contract: Contract,
    pub(crate) resource: Vec<Attribute>,
    pub(crate) messages: Vec<CompiledMessage>,
}

#[derive(Debug)]
pub(crate) struct CompiledMessage {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) fields: Vec<CompiledField>,
    /// The bytes before each value on the wire (`, "key": `), one field after the other.
    keys: Vec<u8>,
}

/// The place of a field's value and of its key.
#[derive(Debug)]
pub(crate) struct CompiledField {
    pub(crate) slot: Slot,
    /// The place of the field's bytes in the message's `keys`.
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
    /// The tables contradict each other: a kind, a wire name or an attribute occurs twice, a field
    /// reads a Resource attribute that is not declared, or a field was added to an unknown message.
    pub fn new(contract: &Contract) -> Result<Self, ContractError> {
        let wrong = |what: String| ContractError::new(&contract.id, what);
        let resource: Vec<Attribute> = RESOURCE_ATTRIBUTES
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

    /// Compiles `contract`, or returns the shared result if it is a built-in contract.
    ///
    /// A built-in contract is compiled once in a process.
    ///
    /// # Errors
    ///
    /// As [`CompiledContract::new`].
    pub fn shared(contract: &Contract) -> Result<Arc<Self>, ContractError> {
        static SHARED: [OnceLock<Arc<CompiledContract>>; Contract::built_in().len()] =
            [const { OnceLock::new() }; Contract::built_in().len()];
        let built_in = Contract::built_in();
        let place = built_in.iter().zip(&SHARED).find(|(known, _)| known.is_same(contract));
        let Some((known, shared)) = place else { return Self::new(contract).map(Arc::new) };
        if let Some(compiled) = shared.get() {
            return Ok(Arc::clone(compiled));
        }
        let compiled = Arc::new(Self::new(known)?);
        Ok(Arc::clone(shared.get_or_init(|| compiled)))
    }

    /// Returns the contract that was compiled.
    #[must_use]
    pub const fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Returns whether records of `kind` become a message.
    #[must_use]
    pub fn has_record(&self, kind: &str) -> bool {
        self.message_of(kind).is_some()
    }

    /// Returns whether the operator leaves this attribute out. Its absence is then no loss.
    #[must_use]
    pub fn is_omitted(&self, name: &str) -> bool {
        self.contract.omitted.iter().any(|omitted| omitted == name)
    }

    /// Returns the Resource attributes that may be set: the shared ones and the contract's own,
    /// without those that the operator leaves out.
    #[must_use]
    pub fn declared_resource(&self) -> &[Attribute] {
        &self.resource
    }

    pub(crate) fn message_of(&self, kind: &str) -> Option<usize> {
        self.contract.messages.iter().position(|spec| spec.record == kind)
    }

    /// Returns the message of `record` with its resolved fields. `None` for the span of the run.
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
        // Most keys take less than 32 bytes, quotes and separators included.
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

    /// Returns the bytes before the value of `field`: `, "key": `.
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
                origin: Origin::Given,
            });
            Slot::Record(record.len().saturating_sub(1))
        }
    })
}
