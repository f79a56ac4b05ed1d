//! The usage server of these tests: it checks every flat message against its JSON Schema.

use std::ops::Deref;

use otel_usage_testing::receiver;
pub(crate) use otel_usage_testing::receiver::{Answer, Request};
use otel_usage_testing::schemas;

/// A running server; see [`receiver::Receiver`], whose `requests` are as they came.
#[derive(Debug)]
pub(crate) struct Receiver(receiver::Receiver);

impl Receiver {
    pub(crate) fn start() -> Self {
        Self(receiver::Receiver::start())
    }

    pub(crate) fn on(listener: std::net::TcpListener) -> Self {
        Self(receiver::Receiver::on(listener, Vec::new(), Answer::Status(200, "")))
    }

    pub(crate) fn scripted(script: Vec<Answer>, finally: Answer) -> Self {
        Self(receiver::Receiver::scripted(script, finally))
    }

    pub(crate) fn away() -> Self {
        Self(receiver::Receiver::away(Answer::Status(503, "")))
    }

    /// The next request. One in JSON is a message of a built-in contract.
    pub(crate) fn next(&self) -> Request {
        let request = self.0.next();
        if request.header("content-type") == Some("application/json") {
            schemas::check_any(&serde_json::from_slice(&request.body).unwrap());
        }
        request
    }

    /// The next `count` requests, as [`Receiver::next`].
    pub(crate) fn take(&self, count: usize) -> Vec<Request> {
        (0..count).map(|_| self.next()).collect()
    }

    /// The next `count` requests, of an engine with a contract of its own.
    pub(crate) fn take_of_any_contract(&self, count: usize) -> Vec<Request> {
        self.0.take(count)
    }
}

impl Deref for Receiver {
    type Target = receiver::Receiver;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
