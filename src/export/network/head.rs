//! Makes the head of a request.

use otel_usage_schema::Destination;
use ureq::http::{HeaderName, HeaderValue};

use super::client::Request;

/// Returns the host of a destination, with its port unless that is the usual one.
fn host(to: &Destination) -> String {
    let host = to.uri().host().unwrap_or("");
    let usual = if to.uri().scheme_str() == Some("https") { 443 } else { 80 };
    if to.port() == usual { host.to_owned() } else { format!("{host}:{}", to.port()) }
}

/// Returns the head of `request`, in the absolute form if it goes to `proxy` itself.
pub(super) fn head(request: &Request, proxy: Option<&Destination>, user_agent: &str) -> Vec<u8> {
    let to = &request.destination;
    let query = to.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut head = Head::new("POST", to, &format!("{}{query}", to.uri().path()), proxy);
    head.add("content-length", request.entry.body.len().to_string().as_bytes());
    for (name, value) in &request.headers {
        // The operator does not choose the headers that frame the request.
        if !matches!(name.as_str(), "content-length" | "host" | "transfer-encoding") {
            head.add(name.as_str(), value.as_bytes());
        }
    }
    head.add_usual(&request.headers, to.authorization(), proxy, user_agent);
    head.end()
}

/// The head of a request while it is made.
pub(super) struct Head(Vec<u8>);

impl Head {
    /// Begins it, in the absolute form if it goes to `proxy` itself.
    pub(super) fn new(
        method: &str,
        to: &Destination,
        path: &str,
        proxy: Option<&Destination>,
    ) -> Self {
        let absolute = if proxy.is_some() { to.origin() } else { String::new() };
        let host = host(to);
        Self(format!("{method} {absolute}{path} HTTP/1.1\r\nhost: {host}\r\n").into_bytes())
    }

    fn add(&mut self, name: &str, value: &[u8]) {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            self.0.extend_from_slice(part);
        }
    }

    /// Adds what every request has and `given` does not.
    pub(super) fn add_usual(
        &mut self,
        given: &[(HeaderName, HeaderValue)],
        authorization: Option<String>,
        proxy: Option<&Destination>,
        user_agent: &str,
    ) {
        for (name, value) in [
            ("accept", Some("*/*".to_owned())),
            ("authorization", authorization),
            ("proxy-authorization", proxy.and_then(Destination::authorization)),
            ("user-agent", Some(user_agent.to_owned())),
        ] {
            if let Some(value) = value
                && !given.iter().any(|(given, _)| given.as_str() == name)
            {
                self.add(name, value.as_bytes());
            }
        }
    }

    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"\r\n");
        self.0
    }
}
