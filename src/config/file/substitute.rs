//! `${NAME}`, `${env:NAME}` and `${NAME:-default}` in a value, as OpenTelemetry's configuration has them.
//!
//! In: a value and who knows the variables. Out: the text with each reference replaced, once and only by
//! text: no variable adds a key or a list. `$$` is a dollar sign; a variable that is not there, or is
//! empty, is its default or nothing.

/// `None`: a reference that is none, such as `${}` or `${env:9}`.
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
    fn references_are_replaced_once_and_what_is_none_is_refused() {
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
