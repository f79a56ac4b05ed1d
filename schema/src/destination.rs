//! URLs of usage servers and collectors: checking, joining, and showing them without secrets.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Uri;

/// An absolute `http` or `https` URL with a host.
///
/// Its text forms leave user, password and query out, because output ends up in tickets and logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Destination(Uri);

impl Destination {
    /// Parses a URL. Returns `None` if it is not absolute, not `http` or `https`, or has no host.
    #[must_use]
    pub fn parse(url: &str) -> Option<Self> {
        let url: Uri = url.parse().ok()?;
        let authority = url.authority()?;
        let written =
            authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, rest)| rest);
        let host = authority.host();
        // The parser accepts a port beyond 65535.
        let port = written.strip_prefix(host)?.trim_start_matches(':');
        let whole = port.is_empty() || port.parse::<u16>().is_ok();
        let known = matches!(url.scheme_str()?, "http" | "https");
        (known && whole && !host.is_empty()).then_some(Self(url))
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

    /// Returns the host in lower case, without brackets and without a dot at its end.
    #[must_use]
    pub fn host(&self) -> String {
        let host = self.0.host().unwrap_or("").trim_matches(['[', ']']);
        host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
    }

    /// Returns the port, which is that of the scheme if none is written.
    #[must_use]
    pub fn port(&self) -> u16 {
        let of_scheme = if self.0.scheme_str() == Some("https") { 443 } else { 80 };
        self.0.port_u16().unwrap_or(of_scheme)
    }

    /// Returns the value of the `Authorization` header that user and password of the URL ask for.
    #[must_use]
    pub fn authorization(&self) -> Option<String> {
        let (user, _) = self.0.authority()?.as_str().rsplit_once('@')?;
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        let mut both = percent_decode(user);
        both.push(b':');
        both.extend(percent_decode(password));
        Some(format!("Basic {}", base64(&both)))
    }

    /// Returns whether the host can only be this machine, however it is spelled: `127.1`, `LOCALHOST`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        let address = || host.parse().ok().or_else(|| classic_address(&host).map(IpAddr::V4));
        host == "localhost"
            || address().is_some_and(|address: IpAddr| {
                let address = address.to_canonical();
                // Connections to the unspecified address end at this machine too.
                address.is_loopback() || address.is_unspecified()
            })
    }

    /// Returns whether others on the way can read what is sent.
    #[must_use]
    pub fn is_cleartext(&self) -> bool {
        self.0.scheme_str() == Some("http") && !self.is_loopback()
    }
}

/// Parses an address as `inet_aton` does: one to four numbers, decimal, octal or hexadecimal.
fn classic_address(host: &str) -> Option<Ipv4Addr> {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None if text.len() > 1 && text.starts_with('0') => u32::from_str_radix(text, 8).ok(),
        None => text.parse().ok(),
    };
    let mut parts = host.split('.').rev();
    let mut address = number(parts.next()?)?;
    let mut parts: Vec<&str> = parts.collect();
    parts.reverse();
    for (part, shift) in parts.iter().zip([24_u32, 16, 8]) {
        address |= u32::from(u8::try_from(number(part)?).ok()?).checked_shl(shift)?;
    }
    (parts.len() <= 3).then(|| Ipv4Addr::from_bits(address))
}

fn percent_decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let decoded = digits
            .filter(|digits| *first == b'%' && !digits.starts_with('+'))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(decoded.unwrap_or(*first));
        rest = decoded.and_then(|_| tail.get(2..)).unwrap_or(tail);
    }
    bytes
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |place: usize| u32::from(chunk.get(place).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (place, shift) in [18_u32, 12, 6, 0].into_iter().enumerate() {
            let digit = DIGITS.get((group >> shift & 63) as usize).copied().unwrap_or(b'=');
            text.push(char::from(if place > chunk.len() { b'=' } else { digit }));
        }
    }
    text
}

impl std::fmt::Debug for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Destination({self})")
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
        for bad in
            ["", "stats.vllm.ai", "ftp://x", "http://", "not a url", "/path", "http://x:99999"]
        {
            assert_eq!(Destination::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn shown_urls_hold_no_secrets() {
        let url = Destination::parse("http://user:secret@127.0.0.1:80/token?x=y").unwrap();
        assert_eq!(url.origin(), "http://127.0.0.1:80");
        assert_eq!(url.to_string(), "http://127.0.0.1:80/token");
        assert_eq!(format!("{url:?}"), "Destination(http://127.0.0.1:80/token)");
    }

    #[test]
    fn user_and_password_become_a_header() {
        for (url, header) in [
            ("http://user:secret@h/", Some("Basic dXNlcjpzZWNyZXQ=")),
            ("http://a%40b:%3A@h/", Some("Basic YUBiOjo=")),
            ("http://a@h/", Some("Basic YTo=")),
            ("http://h/", None),
        ] {
            assert_eq!(
                Destination::parse(url).unwrap().authorization().as_deref(),
                header,
                "{url}"
            );
        }
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
