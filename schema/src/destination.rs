//! URLs of usage servers and collectors: checking, joining, and showing them without secrets.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Uri;

/// An absolute `http` or `https` URL with a host.
///
/// Its text form leaves user, password and query out, because output ends up in tickets and logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination(Uri);

impl Destination {
    /// Parses a URL. Returns `None` if it is not absolute, not `http` or `https`, or has no host.
    #[must_use]
    pub fn parse(url: &str) -> Option<Self> {
        let url: Uri = url.parse().ok()?;
        let scheme = url.scheme_str()?;
        (matches!(scheme, "http" | "https") && !url.host()?.is_empty()).then_some(Self(url))
    }

    /// Returns the URL of `endpoint` below this base, whose own path and query are kept.
    ///
    /// An empty endpoint is the base itself. Returns `None` if the endpoint is not a valid path.
    #[must_use]
    pub fn below(&self, endpoint: &str) -> Option<Self> {
        if endpoint.is_empty() {
            return Some(self.clone());
        }
        let path = self.0.path().trim_end_matches('/');
        let query = self.0.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut parts = self.0.clone().into_parts();
        parts.path_and_query = Some(format!("{path}/{endpoint}{query}").parse().ok()?);
        Uri::from_parts(parts).ok().map(Self)
    }

    /// Returns the whole URL, which may hold secrets.
    #[must_use]
    pub const fn uri(&self) -> &Uri {
        &self.0
    }

    /// Returns scheme, host and port: the part that a notice may show.
    #[must_use]
    pub fn origin(&self) -> String {
        let port = self.0.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}", self.0.scheme_str().unwrap_or(""), self.0.host().unwrap_or(""))
    }

    /// Returns whether the host can only be this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.0.host().unwrap_or("").trim_matches(['[', ']']);
        host.eq_ignore_ascii_case("localhost")
            || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }

    /// Returns whether others on the way can read what is sent.
    #[must_use]
    pub fn is_cleartext(&self) -> bool {
        self.0.scheme_str() == Some("http") && !self.is_loopback()
    }
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.origin(), self.0.path())
    }
}

/// Parses the value of `Retry-After`: seconds, or a date after `unix_nanos`.
#[must_use]
pub fn retry_after(text: &str, unix_nanos: i64) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date: SystemTime = httpdate::parse_http_date(text).ok()?;
    let now = Duration::from_nanos(u64::try_from(unix_nanos).unwrap_or(0));
    Some(date.duration_since(UNIX_EPOCH).ok()?.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_reads_seconds_and_dates() {
        for (text, now, expected) in [
            (" 7 ", 0, Some(7)),
            ("Thu, 01 Jan 1970 00:01:00 GMT", 0, Some(60)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 5_000_000_000, Some(0)),
            ("soon", 0, None),
        ] {
            assert_eq!(retry_after(text, now), expected.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn endpoints_are_joined_below_path_and_query() {
        for (base, endpoint, url) in [
            ("https://stats.vllm.ai", "", "https://stats.vllm.ai/"),
            ("http://stats.lmcache.ai:8080", "context", "http://stats.lmcache.ai:8080/context"),
            ("http://127.0.0.1:9/?key=x", "context", "http://127.0.0.1:9/context?key=x"),
            ("http://127.0.0.1:9/base/", "cache-usage", "http://127.0.0.1:9/base/cache-usage"),
        ] {
            let joined = Destination::parse(base).unwrap().below(endpoint).unwrap();
            assert_eq!(joined.uri().to_string(), url);
        }
    }

    #[test]
    fn relative_urls_and_other_schemes_are_refused() {
        for bad in ["", "stats.vllm.ai", "ftp://x", "http://", "not a url", "/path"] {
            assert_eq!(Destination::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn shown_urls_hold_no_secrets() {
        let url = Destination::parse("http://user:secret@127.0.0.1:80/token?x=y").unwrap();
        assert_eq!(url.origin(), "http://127.0.0.1:80");
        assert_eq!(url.to_string(), "http://127.0.0.1:80/token");
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (url, loopback) in [
            ("http://127.0.0.1:80", true),
            ("http://[::1]:4318", true),
            ("http://LOCALHOST", true),
            ("http://localhost.example", false),
            ("http://127.0.0.1.example", false),
        ] {
            let url = Destination::parse(url).unwrap();
            assert_eq!(url.is_loopback(), loopback, "{url}");
            assert_eq!(url.is_cleartext(), !loopback, "{url}");
        }
    }
}
