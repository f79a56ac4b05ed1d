//! Makes the flat message of a record and its Resource.
//!
//! Sanitizers run again, because the sender may not have run them.

use std::hash::{BuildHasher as _, RandomState};

use bytes::Bytes;
use opentelemetry::KeyValue;
use otel_usage_schema::resource::INSTANCE_ID;
use otel_usage_schema::{Consent, Message, Record, ResourceValues, flatten};
use reqwest::Url;

use crate::catalog::Known;
use crate::flat::Object;
use crate::window::Key;

/// One flat message on its way.
#[derive(Debug)]
pub(crate) struct Flat {
    /// The place of the message's contract in the catalog.
    pub(crate) contract: usize,
    /// The receiver's name of the message.
    pub(crate) message: String,
    /// The time of the record; 0 if it is unknown. Unit: nanoseconds since the Unix epoch.
    pub(crate) time_nanos: i64,
    /// The URL of the usage server. `None` if there is no `server` exporter.
    pub(crate) url: Option<Url>,
    /// The JSON text of the message.
    pub(crate) body: Bytes,
    pub(crate) key: Option<Key>,
    /// A hash of the engine's instance id. The usage server expects the messages of one engine in
    /// order.
    pub(crate) engine: Option<u64>,
    /// Whether the engine posts the message itself.
    pub(crate) direct: bool,
    /// The consent; never [`Consent::Off`].
    pub(crate) consent: Consent,
}

/// A Resource, and the values that each contract reads in it.
pub(crate) struct Source {
    resource: Vec<KeyValue>,
    engine: Option<u64>,
    values: Vec<(usize, ResourceValues)>,
}

impl Source {
    pub(crate) fn new(resource: Vec<KeyValue>, hashes: &RandomState) -> Self {
        let id = resource.iter().rfind(|attribute| attribute.key.as_str() == INSTANCE_ID);
        let engine = id.map(|id| hashes.hash_one(id.value.as_str()));
        Self { resource, engine, values: Vec::with_capacity(1) }
    }

    /// Returns the message of a record by the contract at a place of the catalog. A message that was flat before keeps to
    /// the keys that it had, because a key that its engine did not send has no value. `text` is a buffer.
    pub(crate) fn flat(
        &mut self,
        (contract, known): (usize, &Known),
        mut record: Record,
        before: Option<&Object>,
        consent: Consent,
        text: &mut Vec<u8>,
    ) -> Option<Flat> {
        let compiled = &known.compiled;
        let place = self.values.iter().position(|(known, _)| *known == contract);
        let place = place.unwrap_or_else(|| {
            let mut values = compiled.read_resource(&self.resource);
            compiled.sanitize_resource(&mut values);
            self.values.push((contract, values));
            self.values.len().saturating_sub(1)
        });
        let (_, values) = self.values.get(place)?;
        compiled.sanitize_record(&mut record);
        let message: Message<'_> = flatten(compiled, values, &record)?;
        text.clear();
        message.append_some_json(text, |field| {
            before.is_none_or(|object| object.get(&field.name).is_some())
        });
        Some(Flat {
            contract,
            message: message.name().to_owned(),
            time_nanos: record.time_nanos(),
            url: known.url(message.endpoint()).cloned(),
            body: Bytes::copy_from_slice(text),
            key: None,
            engine: self.engine,
            direct: false,
            consent,
        })
    }
}
