//! A page as an answer of HTTP: in both codings, and with the headers that keep a browser from loading anything else.

use std::io::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap,
    REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, Response, StatusCode};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use maud::html;

use super::coding::takes_gzip;
use super::pages::{Content, Kind};
use super::server_address::MARK;
use super::shell::POLICY;

/// An answer in both codings.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    kind: Kind,
    plain: Bytes,
    zipped: Bytes,
    /// Whether it tells how to report, and the address of the server is still to be filled in.
    pub(crate) asks_address: bool,
}

/// Why there is no page.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    /// There is nothing at the address.
    NotThere,
    /// The data file, or ClickHouse, cannot be read.
    Unreadable,
    /// The program has a mistake.
    Mistake,
}

impl Trouble {
    pub(crate) fn respond(self) -> Response<Body> {
        match self {
            Self::NotThere => plain(StatusCode::NOT_FOUND, "There is no such page.\n"),
            Self::Unreadable => plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "The numbers cannot be read now. Try again later.\n",
            ),
            Self::Mistake => plain(StatusCode::INTERNAL_SERVER_ERROR, "The page cannot be made.\n"),
        }
    }
}

impl Answer {
    pub(crate) fn of(content: Content) -> anyhow::Result<Self> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(content.text.as_bytes())?;
        let zipped = gzip.finish()?.into();
        let asks_address = content.kind == Kind::Html && content.text.contains(MARK);
        Ok(Self { kind: content.kind, plain: content.text.into(), zipped, asks_address })
    }

    /// Fills in the address of the server.
    pub(crate) fn with_address(self, address: &str) -> anyhow::Result<Self> {
        let address = html! { (address) }.into_string();
        let text = String::from_utf8_lossy(&self.plain).replace(MARK, &address);
        Self::of(Content { kind: self.kind, text })
    }

    /// Makes the response in the coding that the browser takes. `lasts` is how long a page may be shown again.
    pub(crate) fn respond(self, headers: &HeaderMap, lasts: Duration) -> Response<Body> {
        let zips = takes_gzip(headers);
        let mut response = Response::new(Body::from(if zips { self.zipped } else { self.plain }));
        let kind = match self.kind {
            Kind::Html => "text/html; charset=utf-8",
            Kind::Css => "text/css; charset=utf-8",
            Kind::Csv => "text/csv; charset=utf-8",
            Kind::Json => "application/json",
            Kind::Text => "text/plain; charset=utf-8",
        };
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        let cached = if lasts.is_zero() { "no-store" } else { "max-age=60" };
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(cached));
        if zips {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        guard(headers);
        response
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    guard(headers);
    response
}

fn guard(headers: &mut HeaderMap) {
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}
