//! Forms of an operator's words that may be shown: without secrets, and short.

/// Returns a URL without user, password and query, for output. Text that is no URL is not shown.
pub(crate) fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    if matches!(scheme, "http" | "https") {
        format!("{scheme}://{host}{path}")
    } else {
        "…".to_owned()
    }
}

/// Shortens an operator's word to one line of at most 40 characters, for a warning.
pub(crate) fn shown(word: &str) -> String {
    word.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
