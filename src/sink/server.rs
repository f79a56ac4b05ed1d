//! The `server` sink: one flat JSON object per POST to the contract's usage server.

use std::time::Duration;

use ureq::http::{HeaderName, HeaderValue, Uri};

use super::http::{Outbox, Request, is_loopback, parse_url, shown_url};
use super::{Outcome, Report};
use crate::config::Settings;
use crate::helper::Helper;

/// Time for one POST, connection included. LMCache's client takes 5 s, vLLM's has no limit.
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Server {
    base: Uri,
    pub(crate) outbox: Outbox,
}

impl Server {
    /// # Errors
    ///
    /// What is wrong with the URL, as the end of a sentence that names where it came from.
    pub(crate) fn check(url: &str, sample: bool) -> Result<Uri, String> {
        let Some(base) = parse_url(url) else {
            return Err("is not a URL; write http://host:port/path or https://…".to_owned());
        };
        if sample && !is_loopback(&base) {
            return Err("is not on this machine, and made-up data must never reach a real usage \
                        server; use http://127.0.0.1:PORT"
                .to_owned());
        }
        Ok(base)
    }

    pub(crate) fn new(base: Uri, settings: &Settings, helper: &Helper) -> Self {
        let outbox = Outbox::new(&base, settings, TIMEOUT, None, helper);
        Self { base, outbox }
    }

    /// Where it sends, as it may be shown.
    pub(crate) fn destination(&self) -> String {
        shown_url(&self.base)
    }

    pub(crate) fn take(&mut self, report: &Report) -> Outcome {
        let Some(message) = report.message() else { return Outcome::Ignored };
        let Some(url) = join(&self.base, message.endpoint()) else {
            return Outcome::Dropped(crate::Loss::Refused);
        };
        let mut body = Vec::with_capacity(2048);
        message.append_json(&mut body);
        let headers = vec![(
            HeaderName::from_static("content-type"),
            HeaderValue::from_static("application/json"),
        )];
        match self.outbox.push(Request { url, headers, body }) {
            Ok(()) => Outcome::Queued,
            Err(loss) => Outcome::Dropped(loss),
        }
    }
}

/// The endpoint below the base, whose own path and query are kept. An empty endpoint is the base.
fn join(base: &Uri, endpoint: &str) -> Option<Uri> {
    if endpoint.is_empty() {
        return Some(base.clone());
    }
    let path = base.path().trim_end_matches('/');
    let query = base.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(format!("{path}/{endpoint}{query}").parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_joined_below_the_base_path() {
        for (base, endpoint, url) in [
            ("https://stats.vllm.ai", "", "https://stats.vllm.ai/"),
            ("http://stats.lmcache.ai:8080", "context", "http://stats.lmcache.ai:8080/context"),
            ("http://127.0.0.1:9/?key=x", "context", "http://127.0.0.1:9/context?key=x"),
            ("http://127.0.0.1:9/base/", "cache-usage", "http://127.0.0.1:9/base/cache-usage"),
        ] {
            assert_eq!(join(&parse_url(base).unwrap(), endpoint).unwrap().to_string(), url);
        }
    }

    #[test]
    fn made_up_data_stays_on_this_machine() {
        assert!(Server::check("https://stats.vllm.ai", true).is_err());
        assert!(Server::check("https://stats.vllm.ai", false).is_ok());
        assert!(Server::check("http://127.0.0.1:1", true).is_ok());
        assert!(Server::check("stats.vllm.ai", false).unwrap_err().contains("http"));
    }
}
