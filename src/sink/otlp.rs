//! The `otlp` sink: one span per request over http/protobuf, to any OTLP receiver.
//!
//! `opentelemetry-otlp` encodes the request. The client it is given does not send: it catches the
//! request, which then takes the same queue, retries and accounting as every other network sink.
//! That also keeps the operator's tracing headers, which `opentelemetry-otlp` adds from the
//! environment, from travelling to a usage collector: only ours are put on the wire.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{
    Compression, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::trace::SpanExporter as _;
use ureq::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use ureq::http::{self, HeaderName, HeaderValue, Uri};
use ureq::tls::{PemItem, RootCerts, parse_pem};

use super::http::{Outbox, Request, parse_url, shown_url};
use super::{Outcome, Report};
use crate::config::{OtlpSettings, Settings};
use crate::helper::Helper;
use crate::loss::Loss;

#[derive(Debug)]
pub(crate) struct Otlp {
    encoder: SpanExporter,
    caught: Caught,
    url: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) outbox: Outbox,
}

impl Otlp {
    /// Builds the sink on the initialising thread: `opentelemetry-otlp` reads the environment here.
    ///
    /// # Errors
    ///
    /// The warning to give; the sink is then off.
    pub(crate) fn new(
        otlp: &OtlpSettings,
        settings: &Settings,
        helper: &Helper,
    ) -> Result<Self, String> {
        let Some(url) = parse_url(&otlp.endpoint) else {
            return Err(format!(
                "{} is not a URL; otlp is off: write http://host:4318 or https://…",
                otlp.origins.endpoint
            ));
        };
        let headers = otlp
            .headers
            .iter()
            .map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?)))
            .collect::<Option<_>>()
            .ok_or_else(|| {
                let name = &otlp.origins.headers;
                format!("{name} holds a name or value that HTTP forbids; otlp is off")
            })?;
        let roots = match &otlp.certificate {
            None => None,
            Some(path) => Some(certificates(path).map_err(|what| {
                let name = &otlp.origins.certificate;
                format!("{name} {}: {what}; otlp is off", path.display())
            })?),
        };
        let caught = Caught::default();
        let mut builder = SpanExporter::builder()
            .with_http()
            .with_http_client(caught.clone())
            .with_endpoint(otlp.endpoint.clone())
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(otlp.timeout);
        if otlp.gzip {
            builder = builder.with_compression(Compression::Gzip);
        }
        let encoder = builder.build().map_err(|error| {
            format!("{error}; otlp is off: set OTEL_USAGE_OTLP_COMPRESSION=gzip, or unset the generic variable")
        })?;
        let outbox = Outbox::new(&url, settings, otlp.timeout, roots, helper);
        Ok(Self { encoder, caught, url, headers, outbox })
    }

    /// Where it sends, as it may be shown.
    pub(crate) fn destination(&self) -> String {
        shown_url(&self.url)
    }

    pub(crate) fn take(&mut self, report: &Report) -> Outcome {
        let Some(request) = self.encode(report) else { return Outcome::Dropped(Loss::WrongType) };
        match self.outbox.push(request) {
            Ok(()) => Outcome::Queued,
            Err(loss) => Outcome::Dropped(loss),
        }
    }

    fn encode(&mut self, report: &Report) -> Option<Request> {
        self.encoder.set_resource(&report.resource());
        // Our client answers at once, so one poll is enough and no runtime is needed.
        let export = pin!(self.encoder.export(vec![report.span()]));
        match export.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) | Poll::Pending => return None,
        }
        let (parts, body) = self.caught.0.lock().ok()?.take()?.into_parts();
        let mut headers = self.headers.clone();
        for name in [CONTENT_TYPE, CONTENT_ENCODING] {
            if let Some(value) = parts.headers.get(&name) {
                headers.push((name, value.clone()));
            }
        }
        Some(Request { url: self.url.clone(), headers, body: body.to_vec() })
    }
}

/// An HTTP client that keeps the request instead of sending it.
#[derive(Debug, Clone, Default)]
struct Caught(Arc<Mutex<Option<http::Request<Bytes>>>>);

#[async_trait]
impl HttpClient for Caught {
    async fn send_bytes(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, HttpError> {
        if let Ok(mut caught) = self.0.lock() {
            *caught = Some(request);
        }
        Ok(http::Response::new(Bytes::new()))
    }
}

fn certificates(path: &std::path::Path) -> Result<RootCerts, String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err("holds no certificate in PEM form".to_owned());
    }
    Ok(RootCerts::new_with_certs(&certificates))
}
