//! The identities by which a receiver finds what it has of this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use otel_usage::Contract;
use otel_usage::schema::resource::INSTANCE_ID;
use otel_usage::schema::{Privacy, RESOURCE_ATTRIBUTES, Source};
use otel_usage::settings::SpoolMessage;
use prost::Message as _;
use serde_json::Value;

use super::{SHOWN, heading};

/// Longest body that is decompressed.
const BODY_BYTES: u64 = 4 * 1024 * 1024;

pub(super) struct Identities {
    /// Keys of flat messages, and attributes of OTLP, that hold an identity.
    keys: BTreeSet<String>,
    /// The key of the instance in the flat messages of each contract.
    instances: BTreeMap<String, String>,
    /// The key, the value and the place where it was found.
    found: BTreeSet<(String, String, Place)>,
}

/// Where an identity was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// A file, or words for it.
    At(String),
    /// A message of this contract, which was sent to this destination.
    Sent(String, String),
    /// The same, but it is unknown whether it arrived.
    PerhapsSent(String, String),
}

impl Identities {
    pub(super) fn of(contracts: &[Contract]) -> Self {
        let mut keys = BTreeSet::new();
        let mut instances = BTreeMap::new();
        for contract in contracts {
            for field in contract.messages.iter().flat_map(|message| message.fields.iter()) {
                if field.privacy == Privacy::Identity {
                    keys.insert(field.name.to_string());
                }
                if matches!(&field.source, Source::Resource(name) if name == INSTANCE_ID) {
                    instances.insert(contract.id.to_string(), field.name.to_string());
                }
            }
            for attribute in contract.attributes.iter().chain(RESOURCE_ATTRIBUTES) {
                if attribute.privacy == Privacy::Identity {
                    keys.insert(attribute.name.to_string());
                }
            }
        }
        Self { keys, instances, found: BTreeSet::new() }
    }

    /// Returns the key under which the flat messages of a contract have the instance.
    pub(super) fn instance(&self, contract: &str) -> String {
        self.instances.get(contract).cloned().unwrap_or_else(|| INSTANCE_ID.to_owned())
    }

    pub(super) fn add(&mut self, key: &str, value: String, place: &Place) {
        let value: String = value.chars().take(SHOWN).filter(|c| !c.is_control()).collect();
        if !value.is_empty() {
            self.found.insert((key.to_owned(), value, place.clone()));
        }
    }

    /// Adds those of a message that waits. It may have arrived, if its answer was lost.
    pub(super) fn add_message(&mut self, message: &SpoolMessage) {
        if let Some(body) = decoded(message) {
            let place = Place::At(format!("{}, a message that waits", message.contract));
            self.add_body(&body, &place);
        }
    }

    /// Adds those of a body: a flat message, or OTLP as JSON.
    pub(super) fn add_body(&mut self, body: &Value, place: &Place) {
        match body {
            Value::Object(members) => {
                if let (Some(Value::String(key)), Some(value)) =
                    (members.get("key"), members.get("value"))
                    && self.keys.contains(key)
                    && let Some(text) = value.get("stringValue").and_then(Value::as_str)
                {
                    self.add(key, text.to_owned(), place);
                }
                for (key, value) in members {
                    match value {
                        Value::String(text) if self.keys.contains(key) => {
                            self.add(key, text.clone(), place);
                        }
                        value => self.add_body(value, place),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.add_body(value, place)),
            _ => {}
        }
    }

    pub(super) fn text(&self) -> String {
        if self.found.is_empty() {
            return "No identity of this machine or of a run is known here.\n".to_owned();
        }
        let mut text = heading("A receiver needs these identities to delete what it has:") + "\n";
        let wide = self.found.iter().map(|(key, ..)| key.len()).max().unwrap_or_default();
        for (key, value, place) in &self.found {
            let place = match place {
                Place::At(place) => place.clone(),
                Place::Sent(contract, to) => format!("{contract}, sent to {to}"),
                // Another attempt arrived.
                Place::PerhapsSent(contract, to) if self.is_sent(key, value, contract, to) => {
                    continue;
                }
                Place::PerhapsSent(contract, to) => format!("{contract}, perhaps sent to {to}"),
            };
            text += &format!("  {key:<wide$}  {value}  ({place})\n");
        }
        text
    }

    fn is_sent(&self, key: &str, value: &str, contract: &str, to: &str) -> bool {
        let sent = Place::Sent(contract.to_owned(), to.to_owned());
        self.found.contains(&(key.to_owned(), value.to_owned(), sent))
    }
}

/// Returns the body of a message as JSON, if it is one of ours.
fn decoded(message: &SpoolMessage) -> Option<Value> {
    let mut body = Vec::new();
    if message.gzip {
        GzDecoder::new(message.body.as_slice()).take(BODY_BYTES).read_to_end(&mut body).ok()?;
    } else {
        body.clone_from(&message.body);
    }
    serde_json::from_slice(&body).ok().or_else(|| {
        let request = ExportTraceServiceRequest::decode(body.as_slice()).ok()?;
        serde_json::to_value(request).ok()
    })
}
