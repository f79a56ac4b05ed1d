//! The `server` sink: one flat message, one POST.
//!
//! In: a URL and a body. Out: what the usage server's answer means for the record. Connections are
//! kept, redirects are not followed (they lead to somebody nobody has consented to), and no more
//! than so many POSTs run at once.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use crate::config::Limits;
use crate::metrics::{Class, Metrics, add};

/// An answer's body is read only to keep the connection usable, and never further than this.
const ANSWER_BYTES: usize = 64 * 1024;

/// What a usage server's answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Posted {
    Delivered,
    /// Try again, after so long if the server says so.
    Later(Option<Duration>),
    /// It is not there, or asks for a pause: try again, and leave the others be for now.
    Pause(Option<Duration>),
    /// It will never take this record.
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
            // A small body must not wait for the answer to the one before.
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
            // A request that cannot even be made: no try can mend it.
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
    let asked =
        response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?));
    // What it says is no matter.
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

/// `Retry-After` in seconds or as a date.
fn retry_after(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    #[expect(clippy::disallowed_methods, reason = "the date is a wall time")]
    let now = SystemTime::now();
    Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
        assert!(
            retry_after("Fri, 31 Dec 2100 00:00:00 GMT").unwrap() > Duration::from_secs(1 << 30)
        );
        assert_eq!(retry_after("soon"), None);
    }
}
