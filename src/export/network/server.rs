//! The `server` exporter: one flat JSON object per POST to the contract's usage server.

use std::time::Duration;

use otel_usage_schema::resource::INSTANCE_ID;
use otel_usage_schema::{Contract, Destination, Loss, Source};
use ureq::http::header::CONTENT_TYPE;
use ureq::http::{HeaderName, HeaderValue};

use super::client::{Answer, Client, Manner};
use super::{Encoded, Encoding, ExportRecord, Network};
use crate::notifier::Notifier;
use crate::settings::Settings;

/// Time for one POST, connection included. LMCache's client takes 5 s; vLLM's has no limit.
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(in crate::export) struct Flat {
    pub(super) base: Destination,
}

impl Encoding for Flat {
    const NAME: &'static str = "server";

    fn encode(&self, record: &ExportRecord) -> Result<Option<Encoded>, Loss> {
        let Some(message) = record.message() else { return Ok(None) };
        let destination = self.base.below(message.endpoint()).ok_or(Loss::Refused)?;
        let mut body = Vec::with_capacity(2048);
        message.append_json(&mut body);
        Ok(Some(Encoded { destination, gzip: false, body }))
    }

    fn headers(&self, _gzip: bool) -> Vec<(HeaderName, HeaderValue)> {
        vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))]
    }

    fn text(_gzip: bool, body: &[u8]) -> Option<String> {
        String::from_utf8(body.to_vec()).ok()
    }

    fn instance_keys(contract: &Contract) -> Vec<String> {
        let fields = contract.messages.iter().flat_map(|message| message.fields.iter());
        let names = fields.filter_map(|field| match &field.source {
            Source::Resource(name) if name == INSTANCE_ID => Some(field.name.to_string()),
            _ => None,
        });
        let mut names: Vec<String> = names.collect();
        names.dedup();
        names
    }

    fn instance_id(keys: &[String], _gzip: bool, body: &[u8]) -> Option<String> {
        let body: serde_json::Value = serde_json::from_slice(body).ok()?;
        keys.iter().find_map(|key| body.get(key)?.as_str().map(str::to_owned))
    }

    fn destinations(&self, contract: &Contract) -> Vec<Destination> {
        contract.messages.iter().filter_map(|message| self.base.below(&message.endpoint)).collect()
    }
}

/// Makes the exporter for the usage server at `base`.
///
/// # Errors
///
/// As [`Client::new`].
pub(in crate::export) fn exporter(
    base: Destination,
    settings: &Settings,
    contract: &Contract,
    notifier: &Notifier,
) -> Result<Network<Flat>, String> {
    let client = client(&base, settings, notifier)?;
    Ok(Network::new(Flat { base: base.clone() }, base, client, settings, contract, notifier))
}

/// Makes the client for the usage server at `base`.
///
/// # Errors
///
/// As [`Client::new`].
pub(super) fn client(
    base: &Destination,
    settings: &Settings,
    notifier: &Notifier,
) -> Result<Client, String> {
    let manner = Manner {
        user_agent: concat!("otel-usage/", env!("CARGO_PKG_VERSION")),
        meaning: |status, _| match status {
            200..=299 => Answer::Delivered,
            408 | 429 | 500..=599 => Answer::Later(None),
            _ => Answer::Refused,
        },
        identity: None,
    };
    Client::new(base, settings, TIMEOUT, None, notifier, manner)
}
