//! The answer to a sender, as a response over HTTP or gRPC.
//!
//! A collector repeats a request on 429, 502, 503 and 504 only (gRPC: `UNAVAILABLE` and a few more) and
//! drops it on any other answer. So a request with a record that can still be delivered is answered
//! "later". Every answer that is no success carries a `Status`, in the form of the request.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use tonic::Code;
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::part::Stop;
use crate::signal::Signal;
use crate::verdict::Verdict;

/// Pause if no server asked for one. The back-off of a collector starts there and goes up to 60 s.
const PAUSE: Duration = Duration::from_secs(5);

/// Longest pause that is passed on, because a server that asks for a day would fill the queues of senders.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The answer to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Every record is delivered or skipped.
    Done,
    /// This number of records is refused for good, and the others are delivered.
    Partial(usize),
    /// The sender has to repeat the request after this pause, for this reason.
    Later(Duration, &'static str),
    /// The sender sends too much, and has to repeat the request after this pause.
    TooMany(Duration),
    /// The request cannot be read and must not be sent again.
    Undecodable(String),
    /// Servers refuse all records, of this number, for good. The request must not be sent again.
    Refused(usize),
    /// The request is larger than allowed, for this reason, and must not be sent again.
    TooLarge(String),
    /// The content type or the encoding is unknown.
    Unsupported(&'static str),
    /// Nothing is at this path.
    NoSuchPath,
    /// The path takes another method.
    NoSuchMethod(&'static str),
}

/// The form of a request and of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Protobuf,
    Grpc,
}

/// The answer of OTLP to a request of which a part is refused. It is the same for both signals.
#[derive(Clone, PartialEq, prost::Message)]
struct Success {
    #[prost(message, optional, tag = "1")]
    partial: Option<Rejected>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Rejected {
    #[prost(int64, tag = "1")]
    records: i64,
    #[prost(string, tag = "2")]
    message: String,
}

impl From<Verdict> for Answer {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict { later: Some(asked), too_many, .. } => {
                let pause = asked.unwrap_or(PAUSE).clamp(Duration::from_secs(1), LONGEST_PAUSE);
                if too_many {
                    Self::TooMany(pause)
                } else {
                    Self::Later(pause, "not everything is delivered yet")
                }
            }
            Verdict { refused: 0, .. } => Self::Done,
            Verdict { refused, records, .. } if refused < records => Self::Partial(refused),
            Verdict { refused, .. } => Self::Refused(refused),
        }
    }
}

impl From<Stop> for Answer {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Malformed => Self::Undecodable("not OTLP".to_owned()),
            Stop::TooLarge => Self::TooLarge(
                "more records than one request may have; send smaller batches".to_owned(),
            ),
            Stop::Busy => Self::full(),
        }
    }
}

impl Form {
    /// Returns the form that the content type names. Media types have no case.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let name = value.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        match name.as_str() {
            "application/json" => Some(Self::Json),
            "application/x-protobuf" => Some(Self::Protobuf),
            "application/grpc" | "application/grpc+proto" => Some(Self::Grpc),
            _ => None,
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/x-protobuf",
            Self::Grpc => "application/grpc",
        }
    }
}

impl Answer {
    /// Returns the answer if the bridge itself has no room or time.
    pub(crate) const fn busy(why: &'static str) -> Self {
        Self::Later(PAUSE, why)
    }

    /// Returns the answer if the memory for requests is in use.
    pub(crate) const fn full() -> Self {
        Self::busy("the memory for requests is in use")
    }

    /// Returns the answer to a request with more than `most` bytes.
    pub(crate) fn too_large(most: usize) -> Self {
        Self::TooLarge(format!("one request may have {most} bytes at most; send smaller batches"))
    }

    /// Returns the answer to a flat message with more than `most` bytes.
    pub(crate) fn long_message(most: usize) -> Self {
        Self::TooLarge(format!("one message may have {most} bytes at most"))
    }

    /// Returns the answer to a body that is not compressed as its header says.
    pub(crate) fn broken() -> Self {
        Self::Undecodable("the body is not compressed as it says".to_owned())
    }

    /// Returns the word for the answer in metrics.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Partial(_) => "partial",
            Self::Later(..) => "later",
            Self::TooMany(_) => "too_many",
            Self::Refused(_) => "refused",
            Self::TooLarge(_) => "too_large",
            Self::Undecodable(_) => "undecodable",
            Self::Unsupported(_) | Self::NoSuchPath | Self::NoSuchMethod(_) => "unsupported",
        }
    }

    const fn codes(&self) -> (StatusCode, Code) {
        match self {
            Self::Done | Self::Partial(_) => (StatusCode::OK, Code::Ok),
            Self::Later(..) => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
            Self::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, Code::Unavailable),
            Self::Refused(_) | Self::Undecodable(_) => {
                (StatusCode::BAD_REQUEST, Code::InvalidArgument)
            }
            // RESOURCE_EXHAUSTED is final, because it names no time for the next attempt.
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted),
            Self::Unsupported(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::Unimplemented),
            Self::NoSuchPath => (StatusCode::NOT_FOUND, Code::Unimplemented),
            Self::NoSuchMethod(_) => (StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Done => String::new(),
            Self::Partial(records) => {
                format!(
                    "{records} records are refused by their usage server; the others are delivered"
                )
            }
            Self::Later(_, why) | Self::Unsupported(why) => (*why).to_owned(),
            Self::TooMany(_) => "too many messages from one place; send the rest later".to_owned(),
            Self::Refused(records) => {
                format!("{records} records are refused by their usage server")
            }
            Self::TooLarge(why) | Self::Undecodable(why) => why.clone(),
            Self::NoSuchPath => "nothing is here; OTLP is at /v1/traces and /v1/logs".to_owned(),
            Self::NoSuchMethod(method) => format!("this path takes {method} only"),
        }
    }

    /// Returns the response in this form.
    pub(crate) fn respond(&self, form: Form, signal: Signal) -> Response<Body> {
        if form == Form::Grpc { self.grpc() } else { self.http(form, signal) }
    }

    fn grpc(&self) -> Response<Body> {
        let (_, code) = self.codes();
        if code != Code::Ok {
            let status = match self {
                Self::Later(pause, _) | Self::TooMany(pause) => {
                    let details = ErrorDetails::with_retry_info(Some(*pause));
                    tonic::Status::with_error_details(code, self.text(), details)
                }
                _ => tonic::Status::new(code, self.text()),
            };
            return status.into_http();
        }
        let message = self.success().encode_to_vec();
        // Not compressed, then the length.
        let mut frame = vec![0];
        frame.extend_from_slice(&u32::try_from(message.len()).unwrap_or(0).to_be_bytes());
        frame.extend_from_slice(&message);
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let body = Full::from(frame).with_trailers(async { Some(Ok(trailers)) });
        let mut response = Response::new(Body::new(body));
        let media_type = HeaderValue::from_static(Form::Grpc.media_type());
        response.headers_mut().insert(CONTENT_TYPE, media_type);
        response
    }

    fn success(&self) -> Success {
        let partial = match self {
            Self::Partial(records) => Some(Rejected {
                records: i64::try_from(*records).unwrap_or(i64::MAX),
                message: self.text(),
            }),
            _ => None,
        };
        Success { partial }
    }

    fn http(&self, form: Form, signal: Signal) -> Response<Body> {
        let (status, code) = self.codes();
        let (code, message) = (i32::from(code), self.text());
        let body = match (form, self) {
            (Form::Json, Self::Done) => b"{}".to_vec(),
            (Form::Json, Self::Partial(records)) => {
                let rejected = signal.rejected();
                let partial =
                    serde_json::json!({ rejected: records.to_string(), "errorMessage": message });
                serde_json::json!({ "partialSuccess": partial }).to_string().into_bytes()
            }
            (Form::Json, _) => {
                serde_json::json!({ "code": code, "message": message }).to_string().into_bytes()
            }
            (_, Self::Done | Self::Partial(_)) => self.success().encode_to_vec(),
            _ => tonic_types::Status { code, message, details: Vec::new() }.encode_to_vec(),
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(form.media_type()));
        match self {
            Self::Later(pause, _) | Self::TooMany(pause) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(pause.as_secs().max(1)));
            }
            // The rest of the body is not read.
            Self::TooLarge(_) => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Self::NoSuchMethod(method) => {
                headers.insert(ALLOW, HeaderValue::from_static(method));
            }
            _ => {}
        }
        response
    }
}
