//! The meaning of a usage server's answer to a POST.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use otel_usage_schema::retry_after;
use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};

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

impl Posted {
    /// Reads an answer.
    pub(crate) async fn of(mut response: Response) -> Self {
        let status = response.status();
        let asked =
            response.headers().get(RETRY_AFTER).and_then(|value| later(value.to_str().ok()?));
        // The contents of the answer do not matter.
        let mut read = 0_usize;
        while read < ANSWER_BYTES
            && let Ok(Some(chunk)) = response.chunk().await
        {
            read = read.saturating_add(chunk.len());
        }
        match status.as_u16() {
            200..=299 => Self::Delivered,
            429 | 503 => Self::Pause(asked),
            408 | 500..=599 => Self::Later(asked),
            _ => Self::Refused,
        }
    }
}

/// Returns the name of a status in metrics.
pub(crate) fn class(status: StatusCode) -> &'static str {
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
