//! The identities by which a receiver finds what it has of this machine.

use std::collections::BTreeSet;
use std::io::Read as _;

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use otel_usage::Contract;
use otel_usage::schema::{Privacy, RESOURCE_ATTRIBUTES};
use otel_usage::settings::SpoolMessage;
use prost::Message as _;
use serde_json::Value;

use super::{SHOWN, heading};

/// Longest body that is decompressed.
const BODY_BYTES: u64 = 4 * 1024 * 1024;

pub(super) struct Identities {
    /// Keys of flat messages, and attributes of OTLP, that hold an identity.
    keys: BTreeSet<String>,
    /// The key, the value and the place where it was found.
    found: BTreeSet<(String, String, String)>,
}

impl Identities {
    pub(super) fn of(contracts: &[Contract]) -> Self {
        let mut keys = BTreeSet::new();
        for contract in contracts {
            for field in contract.messages.iter().flat_map(|message| message.fields.iter()) {
                if field.privacy == Privacy::Identity {
                    keys.insert(field.name.to_string());
                }
            }
            for attribute in contract.attributes.iter().chain(RESOURCE_ATTRIBUTES) {
                if attribute.privacy == Privacy::Identity {
                    keys.insert(attribute.name.to_string());
                }
            }
        }
        Self { keys, found: BTreeSet::new() }
    }

    pub(super) fn add(&mut self, key: &str, value: String, place: &str) {
        let value: String = value.chars().take(SHOWN).filter(|c| !c.is_control()).collect();
        if !value.is_empty() {
            self.found.insert((key.to_owned(), value, place.to_owned()));
        }
    }

    /// Adds those of a message that waits. It may have arrived, if its answer was lost.
    pub(super) fn add_message(&mut self, message: &SpoolMessage) {
        if let Some(body) = decoded(message) {
            self.add_body(&body, &format!("{}, a message that waits", message.contract));
        }
    }

    /// Adds those of a body: a flat message, or OTLP as JSON.
    pub(super) fn add_body(&mut self, body: &Value, place: &str) {
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
            text += &format!("  {key:<wide$}  {value}  ({place})\n");
        }
        text
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
