//! The answer to a sender, as a response over HTTP or gRPC.
//!
//! A collector repeats a request on 429, 502, 503 and 504 only (gRPC: `UNAVAILABLE` and a few more) and
//! drops it on any other answer. So a request with a record that can still be delivered is answered
//! "later", and no answer is a partial success.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Response, StatusCode};
use prost::Message as _;
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::deliver::Verdict;

/// Pause if no server asked for one. The back-off of a collector starts there and goes up to 60 s.
const PAUSE: Duration = Duration::from_secs(5);

/// Longest pause that is passed on, because a server that asks for a day would fill the queues of senders.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The answer to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Every record is delivered or skipped.
    Done,
    /// The sender has to repeat the request after this pause, for this reason.
    Later(Duration, &'static str),
    /// The request cannot be read and must not be sent again.
    Undecodable(String),
    /// Servers refuse this number of records for good; the others are delivered. The request must not be
    /// sent again.
    Refused(usize),
    /// The request is larger than allowed and must not be sent again.
    TooLarge,
}

/// Encoding of a body over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Protobuf,
}

impl From<Verdict> for Answer {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict { later: Some(asked), .. } => {
                let pause = asked.unwrap_or(PAUSE).clamp(Duration::from_secs(1), LONGEST_PAUSE);
                Self::Later(pause, "not everything is delivered yet")
            }
            Verdict { refused: 0, .. } => Self::Done,
            Verdict { refused, .. } => Self::Refused(refused),
        }
    }
}

impl Answer {
    /// Returns the answer if the bridge itself has no room or time.
    pub(crate) const fn busy(why: &'static str) -> Self {
        Self::Later(PAUSE, why)
    }

    /// Returns the word for the answer in metrics.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Later(..) => "later",
            Self::Refused(_) => "refused",
            Self::TooLarge => "too_large",
            Self::Undecodable(_) => "undecodable",
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Done => String::new(),
            Self::Later(_, why) => (*why).to_owned(),
            Self::Refused(records) => {
                format!(
                    "{records} records are refused by their usage server; the others are delivered"
                )
            }
            Self::TooLarge => "larger than this bridge takes; send smaller batches".to_owned(),
            Self::Undecodable(why) => why.clone(),
        }
    }

    /// Returns the answer as OTLP over gRPC expects it.
    ///
    /// # Errors
    ///
    /// Every answer except [`Answer::Done`].
    pub(crate) fn grpc(&self) -> Result<(), tonic::Status> {
        let code = match self {
            Self::Done => return Ok(()),
            Self::Later(pause, why) => {
                let details = ErrorDetails::with_retry_info(Some(*pause));
                return Err(tonic::Status::with_error_details(
                    tonic::Code::Unavailable,
                    *why,
                    details,
                ));
            }
            // RESOURCE_EXHAUSTED is final, because it names no time for the next attempt.
            Self::TooLarge => tonic::Code::ResourceExhausted,
            Self::Refused(_) | Self::Undecodable(_) => tonic::Code::InvalidArgument,
        };
        Err(tonic::Status::new(code, self.text()))
    }

    /// Returns the answer as OTLP over HTTP expects it. The success messages of both signals are the same.
    pub(crate) fn http(&self, form: Form) -> Response<Body> {
        let (status, code) = match self {
            Self::Done => (StatusCode::OK, tonic::Code::Ok),
            Self::Later(..) => (StatusCode::SERVICE_UNAVAILABLE, tonic::Code::Unavailable),
            Self::Refused(_) | Self::Undecodable(_) => {
                (StatusCode::BAD_REQUEST, tonic::Code::InvalidArgument)
            }
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, tonic::Code::ResourceExhausted),
        };
        let (code, message) = (i32::from(code), self.text());
        let (media_type, body) = match form {
            Form::Json if *self == Self::Done => ("application/json", b"{}".to_vec()),
            Form::Json => {
                let status = serde_json::json!({ "code": code, "message": message });
                ("application/json", status.to_string().into_bytes())
            }
            Form::Protobuf if *self == Self::Done => ("application/x-protobuf", Vec::new()),
            Form::Protobuf => {
                let status = tonic_types::Status { code, message, details: Vec::new() };
                ("application/x-protobuf", status.encode_to_vec())
            }
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        if let Self::Later(pause, _) = self {
            headers.insert(RETRY_AFTER, HeaderValue::from(pause.as_secs().max(1)));
        }
        if matches!(self, Self::TooLarge) {
            // The rest of the body is not read.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
