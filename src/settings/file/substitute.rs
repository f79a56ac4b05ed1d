//! Replaces `${NAME}`, `${env:NAME}` and `${NAME:-default}` in a value, as OpenTelemetry's configuration
//! defines them.
//!
//! Each reference is replaced once and only by text, so that a variable adds neither a key nor a list.
//! `$$` is a dollar sign. An unset or empty variable becomes its default, or nothing.

/// Replaces the references in `text`. Returns `None` for a malformed reference, such as `${}`.
pub(super) fn substitute(
    text: &str,
    variable: &mut dyn FnMut(&str) -> Option<String>,
) -> Option<String> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        rest = if let Some(after) = after.strip_prefix('$') {
            result.push('$');
            after
        } else if let Some(after) = after.strip_prefix('{') {
            let (reference, after) = after.split_once('}')?;
            let (name, default) = reference.split_once(":-").unwrap_or((reference, ""));
            let name = name.strip_prefix("env:").unwrap_or(name);
            is_name(name).then_some(())?;
            let value = variable(name).filter(|value| !value.is_empty());
            result.push_str(value.as_deref().unwrap_or(default));
            after
        } else {
            result.push('$');
            after
        };
    }
    result.push_str(rest);
    Some(result)
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_once_and_malformed_ones_refused() {
        let mut variables = |name: &str| match name {
            "A" => Some("a${B}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        for (text, expected) in [
            ("plain", Some("plain")),
            ("${A}", Some("a${B}")),
            ("<${env:A}>", Some("<a${B}>")),
            ("${NONE}", Some("")),
            ("${NONE:-http://h:1/p}", Some("http://h:1/p")),
            ("${EMPTY:-x}${A:-y}", Some("xa${B}")),
            ("$${A} costs $5", Some("${A} costs $5")),
            ("$$$$", Some("$$")),
            ("${A", None),
            ("${}", None),
            ("${9}", None),
            ("${env:A-b}", None),
            ("${file:A}", None),
        ] {
            assert_eq!(substitute(text, &mut variables).as_deref(), expected, "{text}");
        }
    }
}
