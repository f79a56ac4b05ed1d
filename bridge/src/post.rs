//! The `server` exporter: one flat message, one POST.
//!
//! Connections are kept. Redirects are not followed, because the consent does not cover the server that
//! they name. The number of concurrent POSTs is limited.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use otel_usage_schema::{Destination, Proxies, retry_after};
use reqwest::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Proxy, Response, StatusCode, Url, redirect};
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use crate::config::Limits;
use crate::metrics::{Class, Metrics, add};

/// Most bytes of an answer that are read. They are read only to keep the connection usable.
const ANSWER_BYTES: usize = 64 * 1024;

/// The meaning of a usage server's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Posted {
    Delivered,
    /// The message must be sent again, after the time that the server asks for.
    Later(Option<Duration>),
    /// The server is unreachable or asks for a pause: try again later, and send it nothing until then.
    Pause(Option<Duration>),
    /// The server refuses the message for good.
    Refused,
}

#[derive(Debug)]
pub(crate) struct Poster {
    client: Client,
    proxies: Proxies,
    posts: Semaphore,
    metrics: Arc<Metrics>,
}

impl Poster {
    /// Makes a poster that goes through the proxies that the environment names.
    pub(crate) fn new(limits: &Limits, metrics: Arc<Metrics>) -> reqwest::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "once, when the bridge starts")]
        let proxies = Proxies::read(|name| {
            std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
        });
        Self::through(proxies, limits, metrics)
    }

    fn through(proxies: Proxies, limits: &Limits, metrics: Arc<Metrics>) -> reqwest::Result<Self> {
        let of_client = proxies.clone();
        let client = Client::builder()
            .user_agent(concat!("otel-usage/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .timeout(limits.post)
            .pool_max_idle_per_host(limits.posts)
            // A small body must not wait for the answer to the previous one.
            .tcp_nodelay(true)
            // The client would read the environment in its own way, and a proxy that it cannot read
            // would mean none.
            .no_proxy()
            .proxy(Proxy::custom(move |url| {
                let proxy = of_client.find(&Destination::parse(url.as_str())?).ok()??;
                Url::parse(&proxy.uri().to_string()).ok()
            }))
            .build()?;
        Ok(Self { client, proxies, posts: Semaphore::new(limits.posts), metrics })
    }

    /// Posts one message for `contract`, before `until`.
    #[expect(clippy::disallowed_methods, reason = "the latency of a POST, for the metrics")]
    pub(crate) async fn post(
        &self,
        contract: &str,
        url: Url,
        body: Bytes,
        until: tokio::time::Instant,
    ) -> Posted {
        let proxy = Destination::parse(url.as_str())
            .ok_or_else(|| "not a URL".to_owned())
            .and_then(|to| self.proxies.find(&to));
        if let Err(what) = proxy {
            tracing::warn!(%what, "not posted");
            add(&self.metrics.upstream, Class { contract: contract.to_owned(), class: "other" }, 1);
            return Posted::Pause(None);
        }
        let Ok(Ok(_permit)) = timeout_at(until, self.posts.acquire()).await else {
            return Posted::Later(None);
        };
        let request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(body)
            .send();
        self.metrics.posts_in_flight.inc();
        let began = Instant::now();
        let answer = timeout_at(until, request).await;
        self.metrics.posts_in_flight.dec();
        self.metrics.post_seconds.observe(began.elapsed().as_secs_f64());
        let (class, posted) = match answer {
            Err(_) => ("timeout", Posted::Pause(None)),
            Ok(Err(error)) if error.is_timeout() => ("timeout", Posted::Pause(None)),
            // No attempt can mend a request that cannot be made.
            Ok(Err(error)) if error.is_builder() => ("other", Posted::Refused),
            Ok(Err(_)) => ("unreachable", Posted::Pause(None)),
            Ok(Ok(response)) => (class(response.status()), meaning(response).await),
        };
        let contract = contract.to_owned();
        add(&self.metrics.upstream, Class { contract, class }, 1);
        posted
    }
}

async fn meaning(mut response: Response) -> Posted {
    let status = response.status();
    let asked = response.headers().get(RETRY_AFTER).and_then(|value| later(value.to_str().ok()?));
    // The contents of the answer do not matter.
    let mut read = 0_usize;
    while read < ANSWER_BYTES
        && let Ok(Some(chunk)) = response.chunk().await
    {
        read = read.saturating_add(chunk.len());
    }
    match status.as_u16() {
        200..=299 => Posted::Delivered,
        429 | 503 => Posted::Pause(asked),
        408 | 500..=599 => Posted::Later(asked),
        _ => Posted::Refused,
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200..=299 => "2xx",
        300..=399 => "3xx",
        408 => "408",
        429 => "429",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => "other",
    }
}

fn later(text: &str) -> Option<Duration> {
    #[expect(clippy::disallowed_methods, reason = "a date is compared with the wall time")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    retry_after(text, i64::try_from(now.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// Posts through `proxy` and returns the answer, and the head of the request if one came.
    fn post(proxy: &str, to: &str) -> (Posted, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let proxies =
            Proxies::read(|name| (name == "ALL_PROXY").then(|| proxy.replace("{}", &address)));
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            String::from_utf8_lossy(&head[..length]).into_owned()
        });
        let poster = Poster::through(proxies, &Limits::default(), Arc::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let until = tokio::time::Instant::now().checked_add(Duration::from_secs(5)).unwrap();
        let url = Url::parse(&to.replace("{}", &address)).unwrap();
        let posted = runtime.block_on(poster.post("vllm", url, Bytes::from_static(b"{}"), until));
        drop(std::net::TcpStream::connect(&address));
        (posted, server.join().unwrap().to_ascii_lowercase())
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_never_bypassed() {
        for proxy in ["socks5h://{}", "htp://{}", "://", "\"{}", "http://127.0.0.1:99999"] {
            let (posted, head) = post(proxy, "http://0x7f.1.invalid/");
            assert_eq!((posted, head.as_str()), (Posted::Pause(None), ""), "{proxy}");
        }
    }

    #[test]
    fn a_proxy_in_quotes_is_used_and_loopback_needs_none() {
        let (posted, head) = post(" 'http://us%40er:pw@{}' ", "http://stats.invalid/x?y=z");
        assert_eq!(posted, Posted::Delivered);
        assert!(head.starts_with("post http://stats.invalid/x?y=z http/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nproxy-authorization: basic dxnazxi6chc="), "{head}");
        let (posted, head) = post("http://127.0.0.1:1", "http://{}/x");
        assert_eq!(posted, Posted::Delivered);
        assert!(head.starts_with("post /x http/1.1\r\n"), "{head}");
    }
}
