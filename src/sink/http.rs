//! HTTP for the network sinks: one client, a bounded queue of requests, retries with backoff.
//!
//! In: [`Request`]s, each bound to its full destination. Out: 2xx is delivered; 408, 429, 5xx and
//! transport errors wait and are tried again, honouring `Retry-After`; anything else is refused and
//! counted. Requests of one sink go out in order, because LMCache's receiver expects that.

use std::collections::VecDeque;
use std::io::Read as _;
use std::net::ToSocketAddrs as _;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use ureq::http::{self, Uri};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Proxy, ProxyProtocol};

use crate::clock::Clock;
use crate::config::Settings;
use crate::helper::{Helper, Task};
use crate::loss::Loss;
use crate::stats::SinkCounters;

/// Requests that one sink keeps in memory: two hours of heartbeats and a start report.
const QUEUE: usize = 16;

/// Bytes that one sink keeps in memory.
const QUEUE_BYTES: usize = 256 * 1024;

/// Waits between tries double from one second to five minutes; after the last the request is lost.
/// Together about 20 minutes: longer outages are for a durable queue.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
const TRIES: usize = 10;

/// A server that asks for more patience than this is not waited for any longer.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Buffers of a connection. ureq's own are 128 KiB each, for traffic that we do not have; clearing
/// them took longer than the rest of a POST.
const BUFFER_BYTES: usize = 16 * 1024;

/// An answer's body is read only to keep the connection usable, and never further than this.
const ANSWER_BYTES: u64 = 64 * 1024;

/// One POST, bound to its destination.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) url: Uri,
    pub(crate) headers: Vec<(http::HeaderName, http::HeaderValue)>,
    pub(crate) body: Vec<u8>,
}

/// Checks and parses a URL: absolute, `http` or `https`, with a host.
pub(crate) fn parse_url(text: &str) -> Option<Uri> {
    let url: Uri = text.parse().ok()?;
    let scheme = url.scheme_str()?;
    (matches!(scheme, "http" | "https") && !url.host()?.is_empty()).then_some(url)
}

/// A URL as it may be shown: without user, password, path and query.
pub(crate) fn shown_url(url: &Uri) -> String {
    let port = url.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme_str().unwrap_or(""), url.host().unwrap_or(""))
}

/// Whether the URL's host can only be this machine.
pub(crate) fn is_loopback(url: &Uri) -> bool {
    let host = url.host().unwrap_or("").trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// The queue and the client of one network sink.
#[derive(Debug)]
pub(crate) struct Outbox {
    agent: Agent,
    waiting: VecDeque<Request>,
    bytes: usize,
    /// The waits left for the request at the head. `None`: it has not been tried yet.
    waits: Option<ExponentialBackoff>,
    not_before: Option<Instant>,
}

impl Outbox {
    pub(crate) fn new(
        destination: &Uri,
        settings: &Settings,
        timeout: Duration,
        roots: Option<ureq::tls::RootCerts>,
        helper: &Helper,
    ) -> Self {
        let mut tls = ureq::tls::TlsConfig::builder();
        if let Some(roots) = roots {
            tls = tls.root_certs(roots);
        }
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            // An answer that says "elsewhere" was not consented to.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("otel-usage/", env!("CARGO_PKG_VERSION")))
            // From the snapshot: ureq would read the environment again.
            .proxy(proxy(destination, &settings.proxy))
            .tls_config(tls.build())
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            .build();
        let resolver = OwnResolver { helper: helper.clone(), timeout };
        Self {
            agent: Agent::with_parts(config, DefaultConnector::default(), resolver),
            waiting: VecDeque::new(),
            bytes: 0,
            waits: None,
            not_before: None,
        }
    }

    /// Takes a request into the queue, or says that it is full.
    pub(crate) fn push(&mut self, request: Request) -> Result<(), Loss> {
        let bytes = self.bytes.saturating_add(request.body.len());
        if self.waiting.len() >= QUEUE || bytes > QUEUE_BYTES {
            return Err(Loss::QueueFull);
        }
        self.bytes = bytes;
        self.waiting.push_back(request);
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Loses everything that waits.
    pub(crate) fn clear(&mut self, loss: Loss, counters: &SinkCounters) {
        counters.dropped(loss, self.waiting.len());
        self.waiting.clear();
        self.bytes = 0;
        self.waits = None;
        self.not_before = None;
    }

    /// Sends what is due, one request after another, until the queue is empty, a request has to
    /// wait, or `until` has come. `permit` is asked before each. Returns when to come back.
    pub(crate) fn pump(
        &mut self,
        clock: &Clock,
        until: Instant,
        hurry: bool,
        permit: &mut dyn FnMut() -> bool,
        counters: &SinkCounters,
    ) -> Option<Instant> {
        let mut hurry = hurry;
        while let Some(request) = self.waiting.front() {
            let now = clock.monotonic();
            if let Some(due) = self.not_before
                && now < due
                && !hurry
            {
                return Some(due);
            }
            if now >= until {
                return Some(now);
            }
            if !permit() {
                self.clear(Loss::Consent, counters);
                return None;
            }
            hurry = false;
            match post(&self.agent, request, clock) {
                Answer::Delivered => {
                    counters.delivered();
                    self.pop();
                }
                Answer::Refused => {
                    counters.dropped(Loss::Refused, 1);
                    self.pop();
                }
                Answer::Later(asked) => {
                    let waits = self.waits.get_or_insert_with(backoff);
                    match waits.next() {
                        Some(wait) if asked.is_none_or(|asked| asked <= LONGEST_RETRY_AFTER) => {
                            let wait = asked.map_or(wait, |asked| asked.max(wait));
                            let due = clock.monotonic().checked_add(wait)?;
                            self.not_before = Some(due);
                            return Some(due);
                        }
                        _ => {
                            counters.dropped(Loss::Expired, 1);
                            self.pop();
                        }
                    }
                }
            }
        }
        None
    }

    fn pop(&mut self) {
        if let Some(request) = self.waiting.pop_front() {
            self.bytes = self.bytes.saturating_sub(request.body.len());
        }
        self.waits = None;
        self.not_before = None;
    }
}

fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(FIRST_WAIT)
        .with_max_delay(LONGEST_WAIT)
        .with_max_times(TRIES)
        .with_jitter()
        .build()
}

enum Answer {
    Delivered,
    Later(Option<Duration>),
    Refused,
}

fn post(agent: &Agent, request: &Request, clock: &Clock) -> Answer {
    let mut builder = http::Request::post(request.url.clone());
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    let Ok(http_request) = builder.body(request.body.as_slice()) else { return Answer::Refused };
    match agent.run(http_request) {
        Ok(mut response) => {
            let status = response.status().as_u16();
            let asked = response
                .headers()
                .get(http::header::RETRY_AFTER)
                .and_then(|value| retry_after(value.to_str().ok()?, clock.unix_nanos()));
            // Read the rest, so that the connection can be used again; what it says is no matter.
            let _ = std::io::copy(
                &mut response.body_mut().as_reader().take(ANSWER_BYTES),
                &mut std::io::sink(),
            );
            match status {
                200..=299 => Answer::Delivered,
                408 | 429 | 500..=599 => Answer::Later(asked),
                _ => Answer::Refused,
            }
        }
        // A URL that no try can mend. Its text may hold a password and is not repeated.
        Err(ureq::Error::BadUri(_) | ureq::Error::RequireHttpsOnly(_)) => Answer::Refused,
        Err(error) => {
            let to = shown_url(&request.url);
            tracing::debug!(target: "otel_usage::http", to, %error, "not delivered yet");
            Answer::Later(None)
        }
    }
}

/// `Retry-After` in seconds or as a date.
fn retry_after(text: &str, unix_nanos: i64) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(crate::clock::system_time(unix_nanos)).unwrap_or_default())
}

/// The proxy of the environment snapshot for this destination; this machine needs none.
fn proxy(destination: &Uri, variables: &[(&'static str, String)]) -> Option<Proxy> {
    if is_loopback(destination) {
        return None;
    }
    let value = |name: &str| {
        variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| value.as_str())
    };
    let own = if destination.scheme_str() == Some("https") { "https_proxy" } else { "http_proxy" };
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
/// ureq's own resolver starts a thread for every look-up; with a resolver that never answers they
/// would pile up.
struct OwnResolver {
    helper: Helper,
    timeout: Duration,
}

impl std::fmt::Debug for OwnResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OwnResolver")
    }
}

impl Resolver for OwnResolver {
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
        // As many as the array takes.
        for address in found.into_iter().take(16) {
            addresses.push(address);
        }
        if addresses.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(addresses) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after(" 7 ", 0), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 0), Some(Duration::from_secs(60)));
        assert_eq!(
            retry_after("Thu, 01 Jan 1970 00:00:00 GMT", 5_000_000_000),
            Some(Duration::ZERO)
        );
        assert_eq!(retry_after("soon", 0), None);
    }

    #[test]
    fn urls_are_checked_and_shown_without_secrets() {
        for bad in ["", "stats.vllm.ai", "ftp://x", "http://", "not a url", "/path"] {
            assert!(parse_url(bad).is_none(), "{bad}");
        }
        let url = parse_url("http://user:secret@127.0.0.1:80/token?x=y").unwrap();
        assert_eq!(shown_url(&url), "http://127.0.0.1:80");
        assert!(is_loopback(&url));
        assert!(is_loopback(&parse_url("http://[::1]:4318").unwrap()));
        assert!(!is_loopback(&parse_url("http://localhost.example").unwrap()));
        assert!(!is_loopback(&parse_url("http://127.0.0.1.example").unwrap()));
    }
}
