//! Quotes for texts and names in statements. The ids and keys of contracts come from operators, who may write what they
//! like.

/// Returns a text as ClickHouse reads it.
pub(super) fn text(text: &str) -> String {
    quoted(text, '\'')
}

/// Returns the name of a column as ClickHouse reads it, and as the statements write it that make the tables.
pub(super) fn column(name: &str) -> String {
    quoted(name, '`')
}

fn quoted(text: &str, quote: char) -> String {
    let escaped = text.replace('\\', "\\\\").replace(quote, &format!("\\{quote}"));
    format!("{quote}{escaped}{quote}")
}
