//! URLs as they may be shown. In: a URL from the settings. Out: where it leads, without secrets.
//!
//! User, password and query are left out: output ends up in tickets and logs.

use std::net::IpAddr;

use http::Uri;

/// Where a network exporter sends.
#[derive(Debug)]
pub(crate) struct Destination(Uri);

impl Destination {
    /// `None`: not a URL. The settings have dropped those already.
    pub(crate) fn parse(url: &str) -> Option<Self> {
        let url: Uri = url.parse().ok()?;
        (url.scheme().is_some() && url.host().is_some()).then_some(Self(url))
    }

    /// The base URL, without a slash at its end.
    pub(crate) fn shown(&self) -> String {
        self.with_path(self.0.path()).trim_end_matches('/').to_owned()
    }

    /// The URL that `endpoint` below this base is posted to. Empty: the base itself.
    pub(crate) fn below(&self, endpoint: &str) -> String {
        if endpoint.is_empty() {
            return self.with_path(self.0.path());
        }
        format!("{}/{endpoint}", self.shown())
    }

    /// Whether others on the way can read what is sent.
    pub(crate) fn is_cleartext(&self) -> bool {
        self.0.scheme_str() == Some("http") && !self.is_loopback()
    }

    fn is_loopback(&self) -> bool {
        let host = self.0.host().unwrap_or("").trim_matches(['[', ']']);
        host.eq_ignore_ascii_case("localhost")
            || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }

    fn with_path(&self, path: &str) -> String {
        let scheme = self.0.scheme_str().unwrap_or("");
        let host = self.0.host().unwrap_or("");
        let port = self.0.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}://{host}{port}{path}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out_and_the_path_is_kept() {
        for (url, shown, below) in [
            ("https://stats.vllm.ai", "https://stats.vllm.ai", "https://stats.vllm.ai/context"),
            ("http://u:p@h:8080/base/", "http://h:8080/base", "http://h:8080/base/context"),
            (
                "https://p%40w@[::1]:1/a?key=secret",
                "https://[::1]:1/a",
                "https://[::1]:1/a/context",
            ),
        ] {
            let destination = Destination::parse(url).unwrap();
            assert_eq!(destination.shown(), shown);
            assert_eq!(destination.below("context"), below);
        }
        let base = Destination::parse("http://h/base/").unwrap();
        assert_eq!(base.below(""), "http://h/base/");
    }

    #[test]
    fn cleartext_is_http_to_another_machine() {
        for (url, cleartext) in [
            ("http://stats.lmcache.ai:8080", true),
            ("http://10.0.0.1", true),
            ("http://localhost.example.org", true),
            ("https://stats.vllm.ai", false),
            ("http://127.0.0.1:4318/v1/traces", false),
            ("http://[::1]:4318", false),
            ("http://user@localhost", false),
            ("http://localhost@evil.example", true),
        ] {
            assert_eq!(Destination::parse(url).unwrap().is_cleartext(), cleartext, "{url}");
        }
    }
}
