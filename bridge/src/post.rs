//! The `server` exporter: one flat message, one POST.
//!
//! Connections are kept. Redirects are not followed, because the consent does not cover the server that
//! they name. The number of concurrent POSTs is limited.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use otel_usage_schema::retry_after;
use reqwest::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url, redirect};
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
    posts: Semaphore,
    metrics: Arc<Metrics>,
}

impl Poster {
    pub(crate) fn new(limits: &Limits, metrics: Arc<Metrics>) -> reqwest::Result<Self> {
        let client = Client::builder()
            .user_agent(concat!("otel-usage/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .timeout(limits.post)
            .pool_max_idle_per_host(limits.posts)
            // A small body must not wait for the answer to the previous one.
            .tcp_nodelay(true)
            .build()?;
        Ok(Self { client, posts: Semaphore::new(limits.posts), metrics })
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
