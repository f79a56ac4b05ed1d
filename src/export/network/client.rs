//! The HTTP client of the network exporters: proxy, certificates, and what an answer means.

use std::io::Read as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use otel_usage_schema::{Destination, retry_after};
use ureq::config::Config;
use ureq::http::header::{DATE, RETRY_AFTER};
use ureq::http::{self, HeaderMap, HeaderName, HeaderValue};
use ureq::tls::{Certificate, ClientCert, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Proxy, ProxyProtocol};

use super::connect::{HereResolver, Stage, connector};
use super::flight::Post;
use super::head::{Head, head};
use super::hosts::Host;
use super::wire::{HeadConnector, NextHead};
use crate::files::{self, State};
use crate::notifier::Notifier;
use crate::settings::Settings;
use crate::spool::Entry;

/// Size of a connection's buffers. ureq's default of 128 KiB each is meant for more traffic; clearing
/// such buffers took longer than the rest of a POST.
const BUFFER_BYTES: usize = 16 * 1024;

/// Longest file of certificates that is read; a system's whole bundle has 250 kB.
const CERTIFICATE_BYTES: u64 = 4 * 1024 * 1024;

/// Most bytes of an answer that are read. Reading them also keeps the connection usable.
const ANSWER_BYTES: u64 = 64 * 1024;

/// One POST with its full destination.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) destination: Destination,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// The body, and what a file needs to hold beside it.
    pub(super) entry: Entry,
    /// The file that holds the entry.
    pub(super) file: Option<String>,
    /// The time after which it is too late to send it, by a clock that does not jump. `None` before the first
    /// turn.
    pub(super) late_at: Option<Instant>,
    /// The mark of the cutoff when the message was made or taken over.
    pub(super) mark: Option<State>,
    /// Whether another process made it, which ended.
    pub(super) is_taken_over: bool,
}

/// The wishes of an encoding to the client.
#[derive(Debug)]
pub(super) struct Manner {
    pub(super) user_agent: &'static str,
    /// Reads an answer's status and body.
    pub(super) meaning: fn(u16, &[u8]) -> Answer,
    /// Proves to the receiver who sends.
    pub(super) identity: Option<ClientCert>,
}

/// The meaning of an answer.
#[derive(Debug)]
pub(super) enum Answer {
    Delivered,
    /// Try again, after the time of `Retry-After` if it is given.
    Later(Option<Duration>),
    Refused,
    /// There was no connection.
    Unreached,
}

/// Sends requests to one destination, through the operator's proxy if there is one.
pub(super) struct Client {
    agent: Mutex<Agent>,
    /// The lines for the request of a tunnel.
    tunnel: Option<Vec<u8>>,
    user_agent: &'static str,
    meaning: fn(u16, &[u8]) -> Answer,
    next: NextHead,
    stage: Stage,
    host: Host,
    origin: String,
    /// The proxy of plain HTTP. Other connections go through a tunnel, of which the agent knows.
    proxy: Option<Destination>,
    notifier: Notifier,
    warned: AtomicBool,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("proxy", &self.proxy).finish_non_exhaustive()
    }
}

impl Client {
    /// `timeout` limits a whole POST, connection included. `roots` replaces the built-in certificates.
    ///
    /// # Errors
    ///
    /// The operator's proxy or file of certificates cannot be used. The text is the beginning of a warning.
    pub(super) fn new(
        destination: &Destination,
        settings: &Settings,
        timeout: Duration,
        roots: Option<RootCerts>,
        notifier: &Notifier,
        manner: Manner,
    ) -> Result<Self, String> {
        let mut proxy = settings.proxies.find(destination)?;
        let host = Host::find(destination, proxy.as_ref());
        let through = proxy.take_if(|_| destination.uri().scheme_str() == Some("https"));
        let line = through.as_ref().map(|proxy| match proxy.authorization() {
            Some(value) => format!("Proxy-Authorization: {value}\r\n").into_bytes(),
            None => Vec::new(),
        });
        let agent_proxy =
            through.as_ref().map(tunnel).transpose().map_err(|error| error.to_string())?;
        let mut tls = TlsConfig::builder().client_cert(manner.identity);
        let roots = match roots {
            None => authorities(settings, destination)?,
            roots => roots,
        };
        if let Some(roots) = roots {
            tls = tls.root_certs(roots);
        }
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            // The operator has not consented to the place that a redirect names.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(manner.user_agent)
            // ureq would read the environment again.
            .proxy(agent_proxy)
            .tls_config(tls.build())
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            .build();
        let next = NextHead::default();
        let stage = Stage::default();
        Ok(Self {
            agent: Mutex::new(agent(config, &stage, &next, &line)),
            tunnel: line,
            user_agent: manner.user_agent,
            meaning: manner.meaning,
            next,
            stage,
            host,
            origin: destination.origin(),
            proxy,
            notifier: notifier.clone(),
            warned: AtomicBool::new(false),
        })
    }

    fn agent(&self) -> Agent {
        self.agent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the host to which the requests go.
    pub(super) const fn host(&self) -> &Host {
        &self.host
    }

    /// Asks for the head of the root of `to`, within `limit`, and returns the status. The request holds neither path,
    /// query, body nor credentials, apart from those of the proxy.
    pub(super) fn reach(&self, to: &Destination, limit: Duration) -> Result<u16, ureq::Error> {
        let via = self.proxy.as_ref().unwrap_or(to);
        let request = http::Request::head(via.origin()).body(())?;
        let agent = self.agent();
        let request = agent.configure_request(request);
        // The shorter limit tells a connection that does not come from an answer that does not.
        let connect = limit.checked_div(2);
        let request = request.timeout_global(Some(limit)).timeout_connect(connect).build();
        let mut head = Head::new("HEAD", to, "/", self.proxy.as_ref());
        head.add_usual(&[], None, self.proxy.as_ref(), self.user_agent);
        self.next.set(Some(head.end()));
        let answer = agent.run(request);
        self.next.set(None);
        Ok(answer?.status().as_u16())
    }
}

/// Makes a client without connections.
fn agent(config: Config, stage: &Stage, next: &NextHead, tunnel: &Option<Vec<u8>>) -> Agent {
    let heads = HeadConnector { next: next.clone(), tunnel: tunnel.clone() };
    let resolver = HereResolver { stage: stage.clone() };
    Agent::with_parts(config, connector(stage.clone(), heads), resolver)
}

impl Post for Client {
    fn begin_again(&self) {
        let mut old = self.agent.lock().unwrap_or_else(PoisonError::into_inner);
        *old = agent(old.config().clone(), &self.stage, &self.next, &self.tunnel);
    }

    fn post(
        &self,
        request: &Request,
        unix_nanos: i64,
        limit: Option<Duration>,
        seen: &mut Option<u16>,
    ) -> Answer {
        // The client logs what it is given, so it gets neither path nor query nor header.
        let via = self.proxy.as_ref().unwrap_or(&request.destination);
        let Ok(to) = http::Request::post(via.origin()).body(request.entry.body.as_slice()) else {
            return Answer::Refused;
        };
        let agent = self.agent();
        let timeout = agent.config().timeouts().global;
        let timeout = timeout.into_iter().chain(limit).min();
        let to = agent.configure_request(to).timeout_global(timeout).build();
        self.next.set(Some(head(request, self.proxy.as_ref(), self.user_agent)));
        self.stage.begin();
        let answer = agent.run(to);
        self.next.set(None);
        match answer {
            Ok(mut response) => {
                let status = response.status().as_u16();
                *seen = Some(status);
                let asked = asked(response.headers(), unix_nanos);
                let mut body = Vec::new();
                let _ = response.body_mut().as_reader().take(ANSWER_BYTES).read_to_end(&mut body);
                match (self.meaning)(status, &body) {
                    Answer::Later(_) => Answer::Later(asked),
                    other => other,
                }
            }
            // No attempt can mend the URL. It may hold a password and is not logged.
            Err(ureq::Error::BadUri(_) | ureq::Error::RequireHttpsOnly(_)) => Answer::Refused,
            Err(error) => {
                let to = request.destination.origin();
                // The client has no variant of its own for it.
                if error.to_string().contains("invalid peer certificate")
                    && !self.warned.swap(true, Ordering::Relaxed)
                {
                    self.notifier.warn(&format!(
                        "the certificate of {to} is refused: {error}; name the file of its \
                         authority in OTEL_USAGE_CA_FILE"
                    ));
                }
                tracing::debug!(target: "otel_usage::http", to, %error, "not delivered yet");
                if self.stage.is_unreached(&error) {
                    Answer::Unreached
                } else {
                    Answer::Later(None)
                }
            }
        }
    }

    fn tell_unreached(&self) {
        self.notifier.info(&format!(
            "{} cannot be reached from here, so that it is tried once a day from now on; if that is \
             meant, set OTEL_USAGE_MODE=local",
            self.origin
        ));
    }
}

/// Returns the time that `Retry-After` asks for.
///
/// A date in it is compared with the server's own date, if it is there, because the clock of this machine may be
/// wrong.
fn asked(headers: &HeaderMap, unix_nanos: i64) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let since_1970 = text(DATE).and_then(|date| retry_after(date, 0));
    let now = since_1970.and_then(|since| i64::try_from(since.as_nanos()).ok());
    let after = text(RETRY_AFTER)?.trim();
    // A number that is too large for any clock means long.
    let is_number = !after.is_empty() && after.bytes().all(|byte| byte.is_ascii_digit());
    retry_after(after, now.unwrap_or(unix_nanos)).or_else(|| is_number.then_some(Duration::MAX))
}

/// Returns the certificates to trust for `to` instead of the built-in ones, if the operator names some.
///
/// # Errors
///
/// The beginning of the warning to give.
fn authorities(settings: &Settings, to: &Destination) -> Result<Option<RootCerts>, String> {
    let Some((name, path)) = &settings.authorities else { return Ok(None) };
    if to.uri().scheme_str() != Some("https") {
        return Ok(None);
    }
    certificates(path)
        .map(|found| Some(RootCerts::new_with_certs(&found)))
        .map_err(|what| format!("{name} {}: {what}", path.display()))
}

/// Reads a file of certificates in PEM form.
pub(super) fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let pem = files::read(path, CERTIFICATE_BYTES).map_err(|error| error.to_string())?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err("holds no certificate in PEM form".to_owned());
    }
    Ok(certificates)
}

/// Returns the proxy as the client takes it, without user and password.
fn tunnel(proxy: &Destination) -> Result<Proxy, ureq::Error> {
    let secure = proxy.uri().scheme_str() == Some("https");
    let protocol = if secure { ProxyProtocol::Https } else { ProxyProtocol::Http };
    Proxy::builder(protocol).host(proxy.uri().host().unwrap_or("")).port(proxy.port()).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_both_forms_and_by_the_servers_own_clock() {
        let date = "Wed, 21 Oct 2026 07:28:00 GMT";
        for (after, of_server, local, expected) in [
            ("120", None, 0, Some(120)),
            ("120", Some(date), i64::MAX, Some(120)),
            ("Wed, 21 Oct 2026 07:30:00 GMT", Some(date), 0, Some(120)),
            ("Wed, 21 Oct 2026 07:30:00 GMT", Some(date), i64::MAX, Some(120)),
            ("Wed, 21 Oct 2026 07:20:00 GMT", Some(date), 0, Some(0)),
            ("Thu, 01 Jan 1970 00:01:00 GMT", None, 30_000_000_000, Some(30)),
            ("Thu, 01 Jan 1970 00:01:00 GMT", Some("soon"), 30_000_000_000, Some(30)),
            ("soon", Some(date), 0, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(after));
            if let Some(date) = of_server {
                headers.insert(DATE, HeaderValue::from_static(date));
            }
            let found = asked(&headers, local);
            assert_eq!(found, expected.map(Duration::from_secs), "{after} {of_server:?} {local}");
        }
        let headers = [(RETRY_AFTER, HeaderValue::from_static("99999999999999999999"))];
        assert_eq!(asked(&HeaderMap::from_iter(headers), 0), Some(Duration::MAX));
    }
}
