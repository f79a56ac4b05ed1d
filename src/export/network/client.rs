//! The HTTP client of the network exporters: proxy, name look-ups, and what an answer means.

use std::io::Read as _;
use std::net::ToSocketAddrs as _;
use std::time::Duration;

use otel_usage_schema::{Destination, retry_after};
use ureq::http::{self, HeaderName, HeaderValue, Uri};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Proxy, ProxyProtocol};

use crate::helper::{Helper, Task};
use crate::settings::Settings;

/// Size of a connection's buffers. ureq's default of 128 KiB each is meant for more traffic; clearing
/// such buffers took longer than the rest of a POST.
const BUFFER_BYTES: usize = 16 * 1024;

/// Most bytes of an answer that are read. They are read only to keep the connection usable.
const ANSWER_BYTES: u64 = 64 * 1024;

/// One POST with its full destination.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) destination: Destination,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Vec<u8>,
}

/// The meaning of an answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// 2xx.
    Delivered,
    /// 408, 429, 5xx or a transport error: try again, after the time of `Retry-After` if it is given.
    Later(Option<Duration>),
    /// Any other status.
    Refused,
}

#[derive(Debug)]
pub(super) struct Client(Agent);

impl Client {
    /// `timeout` limits a whole POST, connection included. `roots` replaces the built-in certificates.
    pub(super) fn new(
        destination: &Destination,
        settings: &Settings,
        timeout: Duration,
        roots: Option<RootCerts>,
        helper: &Helper,
    ) -> Self {
        let mut tls = TlsConfig::builder();
        if let Some(roots) = roots {
            tls = tls.root_certs(roots);
        }
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            // Nobody has consented to the place that a redirect names.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("otel-usage/", env!("CARGO_PKG_VERSION")))
            // ureq would read the environment again.
            .proxy(proxy(destination, &settings.proxy))
            .tls_config(tls.build())
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            .build();
        let resolver = HelperResolver { helper: helper.clone(), timeout };
        Self(Agent::with_parts(config, DefaultConnector::default(), resolver))
    }

    /// Sends a POST. `unix_nanos` is the wall time, for a `Retry-After` that is a date.
    pub(super) fn post(&self, request: &Request, unix_nanos: i64) -> Answer {
        let mut builder = http::Request::post(request.destination.uri().clone());
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let Ok(http_request) = builder.body(request.body.as_slice()) else {
            return Answer::Refused;
        };
        match self.0.run(http_request) {
            Ok(mut response) => {
                let status = response.status().as_u16();
                let asked = response
                    .headers()
                    .get(http::header::RETRY_AFTER)
                    .and_then(|value| retry_after(value.to_str().ok()?, unix_nanos));
                let mut rest = response.body_mut().as_reader().take(ANSWER_BYTES);
                let _ = std::io::copy(&mut rest, &mut std::io::sink());
                match status {
                    200..=299 => Answer::Delivered,
                    408 | 429 | 500..=599 => Answer::Later(asked),
                    _ => Answer::Refused,
                }
            }
            // No attempt can mend the URL. It may hold a password and is not logged.
            Err(ureq::Error::BadUri(_) | ureq::Error::RequireHttpsOnly(_)) => Answer::Refused,
            Err(error) => {
                let to = request.destination.origin();
                tracing::debug!(target: "otel_usage::http", to, %error, "not delivered yet");
                Answer::Later(None)
            }
        }
    }
}

/// Returns the operator's proxy for this destination. Loopback needs none.
fn proxy(destination: &Destination, variables: &[(&'static str, String)]) -> Option<Proxy> {
    if destination.is_loopback() {
        return None;
    }
    let value = |name: &str| {
        variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| value.as_str())
    };
    let own =
        if destination.uri().scheme_str() == Some("https") { "https_proxy" } else { "http_proxy" };
    let text = value(own).or_else(|| value("all_proxy"))?;
    let parsed = Proxy::new(text).ok()?;
    let Some(except) = value("no_proxy") else { return Some(parsed) };
    let protocol: ProxyProtocol = parsed.protocol();
    let mut builder = Proxy::builder(protocol).host(parsed.host()).port(parsed.port());
    if let Some(user) = parsed.username() {
        builder = builder.username(user);
    }
    if let Some(password) = parsed.password() {
        builder = builder.password(password);
    }
    for host in except.split(',').map(str::trim).filter(|host| !host.is_empty()) {
        builder = builder.no_proxy(host);
    }
    builder.build().ok()
}

/// Looks names up on the helper thread, because `getaddrinfo` cannot be cancelled.
///
/// ureq's own resolver starts a thread for every look-up. With a name server that never answers the
/// threads would pile up.
struct HelperResolver {
    helper: Helper,
    timeout: Duration,
}

impl std::fmt::Debug for HelperResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HelperResolver")
    }
}

impl Resolver for HelperResolver {
    fn resolve(
        &self,
        uri: &Uri,
        _: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let address = uri
            .scheme()
            .zip(uri.authority())
            .and_then(|(scheme, authority)| DefaultResolver::host_and_port(scheme, authority))
            .ok_or(ureq::Error::HostNotFound)?;
        let found = match address.parse() {
            Ok(literal) => vec![literal],
            Err(_) => {
                let wait = self.timeout.min(*timeout.after);
                self.helper
                    .run(Task::LookUp, wait, move || {
                        address.to_socket_addrs().map(Iterator::collect)
                    })
                    .ok_or(ureq::Error::HostNotFound)?
                    .map_err(ureq::Error::Io)?
            }
        };
        let mut addresses = self.empty();
        // The array has room for 16.
        for address in found.into_iter().take(16) {
            addresses.push(address);
        }
        if addresses.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(addresses) }
    }
}
