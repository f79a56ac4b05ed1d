//! The operator's variable for certificates: which file holds the authorities to trust.

/// The variables. The first that is not blank counts. The last two are those of OpenSSL and of `requests`, the
/// HTTP client of vLLM and LMCache.
const FILES: [&str; 3] = ["OTEL_USAGE_CA_FILE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"];

/// Returns the file of the certificates to trust instead of the built-in ones, and the variable that names
/// it. `value` looks a variable up.
pub fn authorities(value: impl Fn(&str) -> Option<String>) -> Option<(&'static str, String)> {
    FILES.into_iter().find_map(|name| {
        let path = value(name)?.trim().to_owned();
        (!path.is_empty()).then_some((name, path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_that_is_not_blank_names_the_authorities() {
        let with = |set: &[(&str, &str)]| {
            authorities(|name| {
                set.iter().find(|(set, _)| *set == name).map(|(_, to)| (*to).to_owned())
            })
        };
        assert_eq!(with(&[]), None);
        let all = [("REQUESTS_CA_BUNDLE", "/r"), ("SSL_CERT_FILE", " /s "), (FILES[0], " ")];
        assert_eq!(with(&all), Some(("SSL_CERT_FILE", "/s".to_owned())));
        assert_eq!(with(&all[..1]), Some(("REQUESTS_CA_BUNDLE", "/r".to_owned())));
        assert_eq!(with(&[(FILES[0], "/o"), all[1]]), Some((FILES[0], "/o".to_owned())));
    }
}
