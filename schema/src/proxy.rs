//! The operator's proxy variables: which proxy a destination needs, if any.
//!
//! A proxy is a boundary. A value that cannot be read is therefore a mistake and never means "no proxy".
//! The exceptions follow `requests`, the HTTP client of vLLM and LMCache.

use std::net::IpAddr;

use crate::Destination;

/// The variables, lower case before upper case. The first that is not blank counts.
const HTTP: [&str; 2] = ["http_proxy", "HTTP_PROXY"];
const HTTPS: [&str; 2] = ["https_proxy", "HTTPS_PROXY"];
const ALL: [&str; 2] = ["all_proxy", "ALL_PROXY"];
const NONE: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// The proxies of an operator, and the destinations that need none.
///
/// Its `Debug` form shows the names of the variables only, because a proxy's URL may hold a password.
#[derive(Clone, Default)]
pub struct Proxies {
    http: Option<(&'static str, String)>,
    https: Option<(&'static str, String)>,
    all: Option<(&'static str, String)>,
    except: Vec<String>,
}

impl Proxies {
    /// Takes the proxies from environment variables, which `value` looks up.
    pub fn read(value: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| {
                value(name).filter(|text| !text.trim().is_empty()).map(|text| (name, text))
            })
        };
        let except = first(NONE).map(|(_, text)| text).unwrap_or_default();
        let except = bare(&except).split(',').map(|entry| bare(entry).to_ascii_lowercase());
        Self {
            http: first(HTTP),
            https: first(HTTPS),
            all: first(ALL),
            except: except.filter(|entry| !entry.is_empty()).collect(),
        }
    }

    /// Returns the proxy for `to`, or `None` if the connection is direct. Loopback needs no proxy.
    ///
    /// # Errors
    ///
    /// The variable cannot be used; the text names it and the remedy, and no value.
    pub fn find(&self, to: &Destination) -> Result<Option<Destination>, String> {
        let own = if to.uri().scheme_str() == Some("https") { &self.https } else { &self.http };
        let Some((name, text)) = own.as_ref().or(self.all.as_ref()) else { return Ok(None) };
        if to.is_loopback() || self.except.iter().any(|entry| matches(entry, to)) {
            return Ok(None);
        }
        match parse(bare(text)) {
            Ok(proxy) => Ok(Some(proxy)),
            Err(what) => Err(format!("{name} {what}; write http://host:port")),
        }
    }
}

impl std::fmt::Debug for Proxies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let set = [&self.http, &self.https, &self.all].into_iter().flatten();
        f.debug_set().entries(set.map(|(name, _)| name)).finish()
    }
}

/// Returns `text` without white space and quotes around it.
fn bare(text: &str) -> &str {
    let mut text = text.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote)) {
            text = inner.trim();
        }
    }
    text
}

fn parse(text: &str) -> Result<Destination, &'static str> {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    let url = match scheme.as_deref() {
        Some("http" | "https") => text.to_owned(),
        Some(scheme) if scheme.starts_with("socks") => {
            return Err("names a SOCKS proxy, which is not spoken here");
        }
        Some(_) => return Err("names an unknown kind of proxy"),
        // As for the original clients, `host:port` is an HTTP proxy.
        None => format!("http://{text}"),
    };
    let proxy = Destination::parse(&url).ok_or("is not the URL of a proxy")?;
    if proxy.uri().query().is_some() || !matches!(proxy.uri().path(), "" | "/") {
        return Err("is not the URL of a proxy");
    }
    Ok(proxy)
}

/// Returns whether an entry of `no_proxy` names the destination: a suffix of its host, with or without a
/// dot before it and a port after it, an address, a network, or `*`.
fn matches(entry: &str, to: &Destination) -> bool {
    if entry == "*" {
        return true;
    }
    let host = to.host();
    if let Ok(address) = host.parse::<IpAddr>() {
        if let Some((network, bits)) = entry.split_once('/') {
            return network.trim_matches(['[', ']']).parse().is_ok_and(|network| {
                bits.parse().is_ok_and(|bits| contains(network, bits, address))
            });
        }
        let (named, port) = match entry.parse::<std::net::SocketAddr>() {
            Ok(both) => (Some(both.ip()), Some(both.port())),
            Err(_) => (entry.trim_matches(['[', ']']).parse().ok(), None),
        };
        return named.is_some_and(|named: IpAddr| named.to_canonical() == address.to_canonical())
            && port.is_none_or(|port| port == to.port());
    }
    let (name, port) = match entry.rsplit_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (entry, None),
    };
    if port.is_some_and(|port| port.parse() != Ok(to.port())) {
        return false;
    }
    let name = name.strip_prefix('*').unwrap_or(name);
    let name = name.trim_end_matches('.');
    !name.is_empty()
        && (host.ends_with(name) || name.strip_prefix('.').is_some_and(|name| host == name))
}

fn contains(network: IpAddr, bits: u32, address: IpAddr) -> bool {
    let (width, network, address) = match (network, address.to_canonical()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (32_u32, a.to_bits().into(), b.to_bits().into()),
        (IpAddr::V6(a), IpAddr::V6(b)) => (128, a.to_bits(), b.to_bits()),
        _ => return false,
    };
    let difference: u128 = network ^ address;
    width.checked_sub(bits).is_some_and(|rest| difference.checked_shr(rest).unwrap_or(0) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(variables: &[(&str, &str)], to: &str) -> Result<Option<String>, String> {
        let value = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let to = Destination::parse(to).unwrap();
        Proxies::read(value).find(&to).map(|found| found.map(|proxy| proxy.origin()))
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_a_mistake_and_never_a_direct_way() {
        for bad in [
            "socks://p:1",
            "socks4://p",
            "socks4a://p:1",
            "socks5://p:1",
            "SOCKS5H://u:geheim@p:1",
            "htp://p",
            "://",
            "http://",
            "http:// p",
            "p p",
            "http://p:99999",
            "http://p:x",
            "/",
            "ftp://p",
            "http://p/path",
            "\"",
            "http://[::1",
            "file:///x",
            "@",
            ":",
            "http://u:geheim@",
            "\u{7f}p",
            "http//p",
            "http:/p",
            "direct://",
            "https:p:1:2",
        ] {
            for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
                let mistake = find(&[(name, bad)], "http://stats.example:8080/x").expect_err(bad);
                assert!(mistake.contains(name) && !mistake.contains("geheim"), "{mistake}");
            }
        }
    }

    #[test]
    fn white_space_quotes_and_a_missing_scheme_are_mended() {
        for (text, proxy) in [
            ("http://p:3128", "http://p:3128"),
            (" http://p:3128/ \n", "http://p:3128"),
            ("\"http://p:3128\"", "http://p:3128"),
            (" ' http://p:3128 ' ", "http://p:3128"),
            ("p:3128", "http://p:3128"),
            ("p", "http://p"),
            ("user:geheim@p:3128", "http://p:3128"),
            ("HTTPS://p", "https://p"),
            ("http://[fd00::1]:3128", "http://[fd00::1]:3128"),
        ] {
            let found = find(&[("https_proxy", text)], "https://stats.example").unwrap();
            assert_eq!(found.as_deref(), Some(proxy), "{text}");
        }
    }

    #[test]
    fn the_scheme_of_the_destination_chooses_the_variable() {
        let both = [("http_proxy", "a:1"), ("HTTPS_PROXY", "b:1"), ("all_proxy", "c:1")];
        assert_eq!(find(&both, "http://x").unwrap().as_deref(), Some("http://a:1"));
        assert_eq!(find(&both, "https://x").unwrap().as_deref(), Some("http://b:1"));
        assert_eq!(find(&both[2..], "https://x").unwrap().as_deref(), Some("http://c:1"));
        // A variable that does not concern the destination is not read.
        assert_eq!(find(&[("https_proxy", "socks5://x")], "http://x"), Ok(None));
        let blank = [("http_proxy", " "), ("HTTP_PROXY", "b")];
        assert_eq!(find(&blank, "http://x").unwrap().as_deref(), Some("http://b"));
        assert_eq!(find(&[], "http://x"), Ok(None));
    }

    #[test]
    fn no_proxy_is_read_as_the_original_clients_read_it() {
        for (except, to, direct) in [
            ("stats.example", "http://stats.example", true),
            ("example", "http://stats.example", true),
            (".example", "http://stats.example", true),
            ("*.example", "http://stats.example", true),
            (".stats.example", "http://stats.example", true),
            (" EXAMPLE ,x", "http://Stats.Example", true),
            ("\"example\"", "http://stats.example", true),
            ("x, , stats.example:8080", "http://stats.example:8080", true),
            ("example:8080", "http://stats.example:8080", true),
            ("example:80", "http://stats.example", true),
            ("example:443", "https://stats.example", true),
            ("example:8081", "http://stats.example:8080", false),
            ("other.example", "http://stats.example", false),
            ("stats", "http://stats.example", false),
            (".", "http://stats.example", false),
            (":", "http://stats.example", false),
            ("*", "http://10.9.8.7", true),
            ("x,*", "http://stats.example", true),
            ("10.0.0.0/8", "http://10.9.8.7:1", true),
            ("10.0.0.0/8", "http://11.9.8.7", false),
            ("0.0.0.0/0", "http://11.9.8.7", true),
            ("10.9.8.7/32", "http://10.9.8.7", true),
            ("10.9.8.7/33", "http://10.9.8.7", false),
            ("10.9.8.7", "http://10.9.8.7:8080", true),
            ("10.9.8.7:8080", "http://10.9.8.7:8080", true),
            ("10.9.8.7:80", "http://10.9.8.7:8080", false),
            ("9.8.7", "http://10.9.8.7", false),
            ("fd00::/8", "http://[fd00::1]", true),
            ("[fd00::1]", "http://[fd00::1]:80", true),
            ("fd00::1", "http://[fd00::1]:80", true),
            ("[fd00::1]:81", "http://[fd00::1]:81", true),
            ("fe80::/10", "http://[fd00::1]", false),
        ] {
            let variables = [("all_proxy", "http://p:1"), ("no_proxy", except)];
            let found = find(&variables, to).unwrap();
            assert_eq!(found.is_none(), direct, "{except} {to}");
        }
    }

    #[test]
    fn loopback_by_any_spelling_never_goes_to_a_proxy() {
        for host in [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "127.0.0.1",
            "127.1",
            "127.9.9.9",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[0:0:0:0:0:0:0:1]",
            "0.0.0.0",
            "[::]",
        ] {
            for proxy in ["http://p:1", "socks5://p:1", "://"] {
                let found = find(&[("all_proxy", proxy)], &format!("http://u:p@{host}:80/x"));
                assert_eq!(found, Ok(None), "{host}");
            }
        }
    }

    #[test]
    fn shown_proxies_hold_no_secrets() {
        let proxies = Proxies::read(|_| Some("http://user:geheim@p".to_owned()));
        assert_eq!(format!("{proxies:?}"), r#"{"http_proxy", "https_proxy", "all_proxy"}"#);
    }
}
