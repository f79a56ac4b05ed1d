//! The address of the server on a page that tells how to report to it.
//!
//! One server has different names for different readers. A page that is kept has a mark, and each answer has the name
//! under which its reader asked.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::http::header::{HOST, HeaderMap, HeaderName};
use axum::http::uri::Uri;

/// Stands for the address in a page. No text of an engine can be it, because its `<` would be escaped.
pub(crate) const MARK: &str = "<!--server-->";

/// Stands for the address in a file, which does not know where the server is.
pub(crate) const UNKNOWN: &str = "http://ADDRESS:PORT";

/// Longest name of a host in the system of names.
const LONGEST: usize = 253;

const SCHEME: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Returns the address under which a request asked, such as `http://usage.example.org`. `None` if it cannot be read.
pub(crate) fn asked(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    // HTTP/2 has it in the address.
    let host = match uri.authority() {
        Some(authority) => authority.as_str(),
        None => headers.get(HOST)?.to_str().ok()?,
    };
    // Everybody may write this header. Only the reader who did sees what comes of it.
    let secure = headers.get(SCHEME).is_some_and(|scheme| scheme == "https");
    is_host(host).then(|| format!("{}://{host}", if secure { "https" } else { "http" }))
}

/// Returns the address of a listener for a process on its machine.
#[must_use]
pub fn reached_at(listener: SocketAddr) -> SocketAddr {
    let mut at = listener;
    if at.ip().is_unspecified() {
        // It listens at every address and is the name of none.
        at.set_ip(if at.is_ipv4() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            Ipv6Addr::LOCALHOST.into()
        });
    }
    at
}

/// Returns whether this is a host with or without a port, and nothing that means more to a shell or a browser.
fn is_host(text: &str) -> bool {
    let is_port = |port: &str| port.parse::<u16>().is_ok() && !port.starts_with('+');
    if let Some(six) = text.strip_prefix('[') {
        return six.split_once(']').is_some_and(|(address, rest)| {
            address.parse::<Ipv6Addr>().is_ok()
                && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
        });
    }
    let (name, port) = text.split_once(':').unwrap_or((text, "80"));
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || ".-_".contains(letter);
    // A name that begins with a hyphen is an option to many commands.
    (1..=LONGEST).contains(&name.len())
        && name.chars().all(allowed)
        && !name.starts_with('-')
        && is_port(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for host in [
            "localhost",
            "127.0.0.1:9090",
            "usage.example.org",
            "[::1]",
            "[::1]:8080",
            "my_host-2:1",
        ] {
            assert!(is_host(host), "{host}");
        }
        let long = "a".repeat(LONGEST + 1);
        for host in [
            "",
            ":80",
            "a:",
            "a:99999",
            "a:+1",
            "a:b",
            "a b",
            "$(id)",
            "a;id",
            "<b>",
            "a/b",
            "u@a",
            "-a",
            "a\"",
            "::1",
            "[::1",
            "[x]",
            "[::1]x",
            long.as_str(),
        ] {
            assert!(!is_host(host), "{host}");
        }
    }
}
