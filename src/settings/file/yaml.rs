//! Parses YAML into a tree in which each node has its line and column.
//!
//! The parser's events become a tree here, because the parser's own trees drop keys that occur twice.
//! The depth is limited, so that no file can exhaust the stack. An alias is a node of its own, and a
//! mistake only if its value is read.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// Deepest nesting that is read. The deepest key with a meaning stands at ten.
const DEPTH: usize = 64;

/// A place in the file. Both numbers count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    line: usize,
    column: usize,
}

impl Place {
    const START: Self = Self { line: 1, column: 1 };

    fn of(span: Span) -> Self {
        Self { line: span.start.line(), column: span.start.col().saturating_add(1) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: Place,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    /// Any scalar; `plain` if it has no quotes.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// Keys and values in turn.
    Map(Vec<Node>),
    /// A reference to another node.
    Alias,
}

/// The place and the description of a syntax error.
pub(super) type SyntaxError = (Place, String);

/// Parses the only document in `text`.
pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    // The parser has assertions, and a failed one must not end the engine.
    catch_unwind(AssertUnwindSafe(|| tree(text)))
        .unwrap_or_else(|_| Err((Place::START, "the YAML parser gave up".to_owned())))
}

fn tree(text: &str) -> Result<Node, SyntaxError> {
    let mut parser = Parser::new_from_str(text);
    let mut open: Vec<Node> = Vec::new();
    let mut root = None;
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(|error| {
            let mark = error.marker();
            let at = Place { line: mark.line(), column: mark.col().saturating_add(1) };
            (at, format!("is not valid YAML here: {}", error.info()))
        })?;
        let at = Place::of(span);
        let done = match event {
            Event::DocumentStart(_) if root.is_some() => {
                return Err((at, "a second document begins; keep one".to_owned()));
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if open.len() >= DEPTH => {
                return Err((at, format!("is nested more than {DEPTH} deep")));
            }
            Event::SequenceStart(..) => {
                open.push(Node { at, value: Value::List(Vec::new()) });
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Node { at, value: Value::Map(Vec::new()) });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => open.pop(),
            Event::Scalar(text, style, ..) => {
                let plain = style == ScalarStyle::Plain;
                Some(Node { at, value: Value::Scalar { text: text.into_owned(), plain } })
            }
            Event::Alias(_) => Some(Node { at, value: Value::Alias }),
            _ => None,
        };
        if let Some(node) = done {
            match open.last_mut().map(|parent| &mut parent.value) {
                Some(Value::List(nodes) | Value::Map(nodes)) => nodes.push(node),
                _ => root = Some(node),
            }
        }
    }
    root.ok_or_else(|| (Place::START, "is empty".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax_errors_have_a_place() {
        let deep = "[".repeat(DEPTH + 1);
        for (text, place) in [
            ("", "1:1"),
            ("# only a comment\n", "1:1"),
            ("a: [1, 2\n", "2:1"),
            ("a: b\n c: d\n", "2:3"),
            ("a: 1\n---\nb: 2\n", "2:1"),
            ("a: *nothing\n", "1:4"),
            ("a: \"\\q\"\n", "1:4"),
            (deep.as_str(), "1:65"),
        ] {
            let (at, what) = parse(text).unwrap_err();
            assert_eq!(at.to_string(), place, "{text:?}: {what}");
        }
    }

    #[test]
    fn duplicate_keys_are_kept() {
        let Node { value: Value::Map(nodes), .. } = parse("a: 1\na: 2\n").unwrap() else {
            panic!("no map");
        };
        let places: Vec<String> = nodes.iter().map(|node| node.at.to_string()).collect();
        assert_eq!(places, ["1:1", "1:4", "2:1", "2:4"]);
    }
}
