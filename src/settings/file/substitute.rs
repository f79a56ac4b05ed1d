//! Replaces `${NAME}`, `${env:NAME}` and `${NAME:-default}` in a value, as OpenTelemetry's configuration
//! defines them.
//!
//! Each reference is replaced once and only by text, so that a variable adds neither a key nor a list.
//! `$$` is a dollar sign. An unset or empty variable becomes its default, or nothing.

/// Replaces the references in `text`. Returns `None` for a malformed reference, such as `${}`.
///
/// `$$` is found first, and no reference reaches across it. `missing` gets the name of each variable that is
/// unset or empty and has no default.
pub(super) fn substitute(
    text: &str,
    variable: &mut dyn FnMut(&str) -> Option<String>,
    missing: &mut dyn FnMut(&str),
) -> Option<String> {
    let mut result = String::with_capacity(text.len());
    let mut pieces = text.split("$$").peekable();
    while let Some(mut rest) = pieces.next() {
        while let Some((before, after)) = rest.split_once("${") {
            result.push_str(before);
            let Some((reference, after)) = after.split_once('}') else {
                // `${` without a brace is plain text before an escape, and a mistake at the end.
                pieces.peek()?;
                result.push_str("${");
                rest = after;
                continue;
            };
            let (name, default) = match reference.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (reference, None),
            };
            let name = name.strip_prefix("env:").unwrap_or(name);
            is_name(name).then_some(())?;
            let value = variable(name).filter(|value| !value.is_empty());
            match value.as_deref().or(default) {
                Some(value) => result.push_str(value),
                None => missing(name),
            }
            rest = after;
        }
        result.push_str(rest);
        if pieces.peek().is_some() {
            result.push('$');
        }
    }
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
            // The rows of the specification's table that are about escapes and defaults.
            ("${NONE:-${A}}", Some("${A}")),
            ("$$${A}", Some("$a${B}")),
            ("$$$${A}", Some("$${A}")),
            ("$${A:-fallback}", Some("${A:-fallback}")),
            ("$${A:-${A}}", Some("${A:-a${B}}")),
            ("${NONE:-$${NONE}}", Some("${NONE:-${NONE}}")),
            ("a $$ b $ c", Some("a $ b $ c")),
            ("${A:?error}", None),
            ("${A", None),
            ("${}", None),
            ("${9}", None),
            ("${env:A-b}", None),
            ("${file:A}", None),
        ] {
            let replaced = substitute(text, &mut variables, &mut |_| {});
            assert_eq!(replaced.as_deref(), expected, "{text}");
        }
        let mut missing = Vec::new();
        let text = "${A}${NONE}${env:EMPTY}${NONE:-}${A:-x}$${OTHER}";
        substitute(text, &mut variables, &mut |name| missing.push(name.to_owned()));
        assert_eq!(missing, ["NONE", "EMPTY"]);
    }
}
