//! The `otlp` exporter: one span per request over http/protobuf, to any OTLP receiver.
//!
//! The request is encoded here and not by `opentelemetry-otlp`, because that crate reads the operator's
//! `OTEL_EXPORTER_OTLP_*` variables and would add tracing headers or refuse a compression. A test
//! compares the bytes with those of that crate.

use std::io::{Read as _, Write as _};
use std::path::Path;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use opentelemetry_proto::transform::common::tonic::Attributes;
use opentelemetry_sdk::trace::SpanData;
use otel_usage_schema::resource::INSTANCE_ID;
use otel_usage_schema::{Contract, Destination, Loss, transport};
use prost::Message as _;
use ureq::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use ureq::http::{HeaderName, HeaderValue};
use ureq::tls::{ClientCert, PrivateKey, RootCerts};

use super::client::{Answer, Client, Manner, certificates};
use super::{Encoded, Encoding, ExportRecord, Network};
use crate::files;
use crate::notifier::Notifier;
use crate::settings::{OtlpSettings, Settings};

/// Longest file with a private key that is read.
const KEY_BYTES: u64 = 64 * 1024;

/// Most bytes of a body that are decompressed to be read.
const TEXT_BYTES: u64 = 1024 * 1024;

/// Our name, then the one that the specification gives to OTLP exporters.
const USER_AGENT: &str = concat!(
    "otel-usage/",
    env!("CARGO_PKG_VERSION"),
    " OTel-OTLP-Exporter-Rust/",
    env!("CARGO_PKG_VERSION")
);

#[derive(Debug)]
pub(in crate::export) struct Otlp {
    destination: Destination,
    headers: Vec<(HeaderName, HeaderValue)>,
    gzip: bool,
}

impl Encoding for Otlp {
    const NAME: &'static str = "otlp";

    fn encode(&self, record: &ExportRecord) -> Result<Option<Encoded>, Loss> {
        let mut body = export_request(record).encode_to_vec();
        if self.gzip {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
            gzip.write_all(&body).map_err(|_| Loss::Io)?;
            body = gzip.finish().map_err(|_| Loss::Io)?;
        }
        Ok(Some(Encoded { destination: self.destination.clone(), gzip: self.gzip, body }))
    }

    fn headers(&self, gzip: bool) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = self.headers.clone();
        headers.push((CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf")));
        if gzip {
            headers.push((CONTENT_ENCODING, HeaderValue::from_static("gzip")));
        }
        headers
    }

    fn text(gzip: bool, body: &[u8]) -> Option<String> {
        serde_json::to_string(&decode(gzip, body)?).ok()
    }

    fn instance_keys(_contract: &Contract) -> Vec<String> {
        vec![INSTANCE_ID.to_owned()]
    }

    fn instance_id(keys: &[String], gzip: bool, body: &[u8]) -> Option<String> {
        let request = decode(gzip, body)?;
        let resources = request.resource_spans.into_iter().filter_map(|spans| spans.resource);
        let mut attributes = resources.flat_map(|resource| resource.attributes);
        match attributes.find(|one| keys.contains(&one.key))?.value?.value? {
            Value::StringValue(id) => Some(id),
            _ => None,
        }
    }

    fn destinations(&self, _contract: &Contract) -> Vec<Destination> {
        vec![self.destination.clone()]
    }
}

/// Reads a body, which may be compressed.
fn decode(gzip: bool, body: &[u8]) -> Option<ExportTraceServiceRequest> {
    let mut plain = Vec::new();
    let body = match gzip {
        true => {
            GzDecoder::new(body).take(TEXT_BYTES).read_to_end(&mut plain).ok()?;
            plain.as_slice()
        }
        false => body,
    };
    ExportTraceServiceRequest::decode(body).ok()
}

/// Returns the OTLP request that carries `record`.
fn export_request(record: &ExportRecord) -> ExportTraceServiceRequest {
    let span: SpanData = record.span();
    let scope_spans = ScopeSpans {
        scope: Some((&span.instrumentation_scope, None).into()),
        spans: vec![span.into()],
        schema_url: transport::SCHEMA_URL.to_owned(),
    };
    let attributes = Attributes::from(record.resource_attributes()).0;
    let resource = Resource { attributes, ..Resource::default() };
    let spans = ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![scope_spans],
        schema_url: transport::SCHEMA_URL.to_owned(),
    };
    ExportTraceServiceRequest { resource_spans: vec![spans] }
}

/// Checks the settings without reading a file, and returns the destination.
///
/// # Errors
///
/// The warning to give. The exporter is then off.
pub(in crate::export) fn check(otlp: &OtlpSettings) -> Result<Destination, String> {
    let alone = match (&otlp.client_certificate, &otlp.client_key) {
        (Some((name, _)), None) => Some((name, "key")),
        (None, Some((name, _))) => Some((name, "certificate")),
        _ => None,
    };
    if let Some((name, other)) = alone {
        return Err(format!("{name} has no client {other} beside it; otlp is off"));
    }
    target(otlp).map(|(destination, _)| destination).map_err(|what| format!("{what}; otlp is off"))
}

/// Makes the exporter from settings that were checked.
///
/// # Errors
///
/// The beginning of the warning to give. A file cannot be used.
pub(in crate::export) fn exporter(
    otlp: &OtlpSettings,
    settings: &Settings,
    contract: &Contract,
    notifier: &Notifier,
) -> Result<Network<Otlp>, String> {
    let encoding = encoding(otlp)?;
    let destination = encoding.destination.clone();
    let client = client(otlp, &destination, settings, notifier)?;
    Ok(Network::new(encoding, destination, client, settings, contract, notifier))
}

/// Makes the client, which reads the files of certificates.
///
/// # Errors
///
/// The beginning of the warning to give.
pub(super) fn client(
    otlp: &OtlpSettings,
    destination: &Destination,
    settings: &Settings,
    notifier: &Notifier,
) -> Result<Client, String> {
    let (roots, identity) = credentials(otlp)?;
    let manner = Manner { user_agent: USER_AGENT, meaning, identity };
    Client::new(destination, settings, otlp.timeout, roots, notifier, manner)
}

/// Returns the encoding of these settings. Reads no file.
///
/// # Errors
///
/// The beginning of the warning to give.
pub(super) fn encoding(otlp: &OtlpSettings) -> Result<Otlp, String> {
    let (destination, headers) = target(otlp)?;
    Ok(Otlp { destination, headers, gzip: otlp.gzip })
}

/// Reads an answer as the specification says: four statuses are temporary, and a 2xx may still refuse
/// the span.
fn meaning(status: u16, body: &[u8]) -> Answer {
    match status {
        200..=299 => {
            let partial = ExportTraceServiceResponse::decode(body).ok();
            match partial.and_then(|response| response.partial_success) {
                // Each request has one span.
                Some(partial) if partial.rejected_spans > 0 => Answer::Refused,
                _ => Answer::Delivered,
            }
        }
        429 | 502 | 503 | 504 => Answer::Later(None),
        _ => Answer::Refused,
    }
}

fn target(otlp: &OtlpSettings) -> Result<(Destination, Vec<(HeaderName, HeaderValue)>), String> {
    let destination = Destination::parse(&otlp.endpoint).ok_or_else(|| {
        format!("{} is not a URL; write http://host:4318 or https://…", otlp.origins.endpoint)
    })?;
    let headers = otlp
        .headers
        .iter()
        .map(|(name, value)| {
            let mut value: HeaderValue = value.parse().ok()?;
            // Its `Debug` form then hides it.
            value.set_sensitive(true);
            Some((name.parse().ok()?, value))
        })
        .collect::<Option<_>>()
        .ok_or_else(|| {
            format!("{} holds a name or value that HTTP forbids", otlp.origins.headers)
        })?;
    Ok((destination, headers))
}

/// Reads the certificates to trust, and those that prove who sends.
fn credentials(otlp: &OtlpSettings) -> Result<(Option<RootCerts>, Option<ClientCert>), String> {
    let bad = |name: &str, path: &Path, what: &str| format!("{name} {}: {what}", path.display());
    let read = |name: &str, path: &Path| certificates(path).map_err(|what| bad(name, path, &what));
    let roots = match &otlp.certificate {
        None => None,
        Some(path) => Some(RootCerts::new_with_certs(&read(&otlp.origins.certificate, path)?)),
    };
    let identity = match (&otlp.client_certificate, &otlp.client_key) {
        (Some((of_chain, chain)), Some((of_key, key))) => {
            let found = read(of_chain, chain)?;
            let pem = files::read(key, KEY_BYTES)
                .map_err(|error| bad(of_key, key, &error.to_string()))?;
            let secret = PrivateKey::from_pem(&pem)
                .map_err(|_| bad(of_key, key, "holds no private key in PEM form"))?;
            Some(ClientCert::new_with_certs(&found, secret))
        }
        _ => None,
    };
    Ok((roots, identity))
}
