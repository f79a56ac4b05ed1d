//! Reads a [`ConfigFile`] from the file's tree, and notes every mistake.
//!
//! A mistake in an exporter turns that exporter off. A mistake where a switch may stand (the root,
//! `distribution`) means off, because a misspelt `mode` must not mean on. No message shows a value,
//! because any value may be a secret.

use std::path::Path;

use super::substitute::substitute;
use super::yaml::{Node, Place, Value};
use super::{ConfigFile, Located};
use crate::settings::{Env, ReceiptsMode, shown};
use otel_usage_schema::{Consent, Decision};

/// Keys of the specification that have no meaning for usage reports.
const FOREIGN: &[&str] = &[
    "attribute_limits",
    "log_level",
    "logger_provider",
    "meter_provider",
    "propagator",
    "resource",
];

/// Keys whose value must not silently be nothing: a header without its credential is refused for ever, and without
/// its endpoint an exporter has another destination.
const REQUIRED: &[&str] = &["endpoint", "value"];

/// The newest minor version of `file_format` 1 whose keys are known.
const MINOR: u32 = 1;

pub(super) fn read(root: &Node, env: &Env, path: &Path) -> ConfigFile {
    let mut reader = Reader {
        env,
        path: path.display().to_string(),
        switches: true,
        ignored: Vec::new(),
        mistakes: Vec::new(),
        file: ConfigFile::default(),
    };
    reader.root(root);
    reader.finish()
}

pub(super) struct Reader<'a> {
    pub(super) env: &'a Env,
    path: String,
    /// Whether a switch may stand at the place that is read.
    switches: bool,
    ignored: Vec<String>,
    pub(super) mistakes: Vec<(Place, String)>,
    pub(super) file: ConfigFile,
}

/// A key, its place, and its value.
pub(super) type Entry<'n> = (&'n str, Place, &'n Node);

impl Reader<'_> {
    fn finish(mut self) -> ConfigFile {
        self.mistakes.sort();
        self.file.mistakes =
            self.mistakes.iter().map(|(at, what)| format!("{}:{at} {what}", self.path)).collect();
        if !self.ignored.is_empty() {
            self.file.notes.push(format!(
                "{}: ignored, because they have no meaning for usage data: {}",
                self.path,
                self.ignored.join(", ")
            ));
        }
        self.file
    }

    pub(super) fn origin(&self, at: Place) -> String {
        format!("{}:{at}", self.path)
    }

    pub(super) fn mistake(&mut self, at: Place, what: impl Into<String>) {
        let what = what.into();
        if self.switches {
            let damage = format!("{}:{at} {what}", self.path);
            self.narrow(Consent::Off, format!("configuration file {}: a mistake", self.origin(at)));
            self.file.damage.get_or_insert(damage);
        }
        self.mistakes.push((at, what));
    }

    pub(super) fn unknown(&mut self, key: &str, at: Place, known: &str) {
        self.mistake(at, format!("`{}` is not a key here; known are {known}", shown(key)));
    }

    pub(super) fn ignore(&mut self, key: &str, at: Place) {
        self.ignored.push(format!("{} ({at})", shown(key)));
    }

    fn narrow(&mut self, consent: Consent, because: String) {
        if self.file.consent.as_ref().is_none_or(|decision| decision.consent < consent) {
            self.file.consent = Some(Decision { consent, because });
        }
    }

    // Nodes of one shape.

    /// Returns the text of a scalar, or `None` if it is null or a mistake, which is then noted.
    pub(super) fn text(&mut self, key: &str, node: &Node) -> Option<String> {
        match &node.value {
            Value::Scalar { text, plain } => {
                let mut missing = Vec::new();
                let whole = text;
                let text = substitute(text, &mut |name| self.env.look_up(name), &mut |name| {
                    missing.push(name.to_owned());
                });
                // An empty text where a switch may stand stays a mistake, which means off.
                if let Some(name) = missing.first()
                    && self.missing(key, node.at, whole, name)
                {
                    return None;
                }
                if text.is_none() {
                    self.mistake(
                        node.at,
                        format!("`{key}` has a `${{` that names no variable; write ${{env:NAME}}, or $$ for $"),
                    );
                }
                text.filter(|text| !(*plain && is_null(text)))
            }
            Value::Alias => {
                self.mistake(node.at, format!("`{key}` is an alias; write the value itself"));
                None
            }
            Value::List(_) | Value::Map(_) => {
                self.mistake(node.at, format!("`{key}` is not a single value"));
                None
            }
        }
    }

    /// Tells that a variable is not set, and returns whether its key is left out.
    ///
    /// A whole value that is missing leaves its key out. A missing part of a value makes another value than its
    /// author meant.
    fn missing(&mut self, key: &str, at: Place, text: &str, name: &str) -> bool {
        let whole = text.trim().trim_start_matches("${").trim_start_matches("env:");
        let left_out = whole.strip_suffix('}') == Some(name) && !REQUIRED.contains(&key);
        if left_out && !self.switches {
            self.file.notes.push(format!(
                "{} `{key}` is left out, because the variable {name} is not set",
                self.origin(at)
            ));
        } else if !left_out {
            self.mistake(
                at,
                format!(
                    "`{key}` needs the variable {name}, which is not set; set it, or write ${{env:{name}:-}} \
                     for nothing"
                ),
            );
        }
        left_out && !self.switches
    }

    pub(super) fn entries<'n>(&mut self, key: &str, node: &'n Node) -> Vec<Entry<'n>> {
        let Value::Map(nodes) = &node.value else {
            // Null is a block without keys. `text` notes a mistake.
            if matches!(node.value, Value::List(_)) || self.text(key, node).is_some() {
                self.mistake(
                    node.at,
                    format!("`{key}` is not a mapping; write keys with values below it"),
                );
            }
            return Vec::new();
        };
        let mut entries: Vec<Entry<'n>> = Vec::new();
        for pair in nodes.chunks_exact(2) {
            let [name, value] = pair else { continue };
            match &name.value {
                Value::Scalar { text, .. } if entries.iter().any(|(other, ..)| other == text) => {
                    self.mistake(name.at, format!("`{}` occurs twice; keep one", shown(text)));
                }
                Value::Scalar { text, .. } => entries.push((text, name.at, value)),
                _ => self.mistake(name.at, "a key is not text"),
            }
        }
        entries
    }

    pub(super) fn list<'n>(&mut self, key: &str, node: &'n Node) -> &'n [Node] {
        if let Value::List(nodes) = &node.value {
            return nodes;
        }
        if matches!(node.value, Value::Map(_)) || self.text(key, node).is_some() {
            self.mistake(node.at, format!("`{key}` is not a list; write `- ` before each entry"));
        }
        &[]
    }

    /// Returns the only entry of a mapping.
    pub(super) fn only<'n>(&mut self, key: &str, node: &'n Node, known: &str) -> Option<Entry<'n>> {
        let mut entries = self.entries(key, node);
        match entries.pop() {
            Some(entry) if entries.is_empty() => Some(entry),
            Some(_) => {
                self.mistake(node.at, format!("`{key}` holds several keys; keep one of {known}"));
                None
            }
            None => {
                self.mistake(node.at, format!("`{key}` is empty; write one of {known}"));
                None
            }
        }
    }

    // The keys, from the root on.

    fn root(&mut self, root: &Node) {
        let entries = self.entries("the file", root);
        if entries.is_empty() {
            self.mistake(
                root.at,
                "is empty; write file_format: \"1.1\", and your settings below it",
            );
        } else if !entries.iter().any(|(key, ..)| *key == "file_format") {
            self.file.notes.push(format!("{}: file_format is missing; write \"1.1\"", self.path));
        }
        for (key, at, node) in entries {
            match key {
                "file_format" => self.format(node),
                "disabled" => self.disabled(node),
                "tracer_provider" => {
                    self.switches = false;
                    self.tracer_provider(node);
                    self.switches = true;
                }
                "distribution" => self.distribution(node),
                _ if FOREIGN.contains(&key) || is_experimental(key) => self.ignore(key, at),
                _ => self.unknown(key, at, "file_format, disabled, tracer_provider, distribution"),
            }
        }
    }

    fn format(&mut self, node: &Node) {
        let text = self.text("file_format", node).unwrap_or_default();
        let minor = text.strip_prefix("1.").and_then(|rest| rest.split('-').next());
        let minor: Option<u32> = minor.and_then(|minor| minor.parse().ok());
        match minor {
            None => self.mistake(node.at, "`file_format` is not known; write \"1.1\""),
            Some(minor) if minor > MINOR => self.file.notes.push(format!(
                "{}: file_format is newer than 1.{MINOR}, which this build reads; its new keys are \
                 mistakes here",
                self.origin(node.at)
            )),
            Some(_) => {}
        }
    }

    fn disabled(&mut self, node: &Node) {
        match self.text("disabled", node).as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("false") => {}
            Some("true") => {
                let because = format!("configuration file {}: disabled", self.origin(node.at));
                self.narrow(Consent::Off, because);
            }
            Some(_) => self.mistake(node.at, "`disabled` is neither true nor false"),
        }
    }

    fn distribution(&mut self, node: &Node) {
        for (key, at, node) in self.entries("distribution", node) {
            match key {
                "otel_usage" => self.own(node),
                // This is most likely our key, misspelt, with a switch below it.
                _ if key.contains("usage") => self.unknown(key, at, "otel_usage"),
                _ => self.ignore(key, at),
            }
        }
    }

    fn own(&mut self, node: &Node) {
        for (key, at, node) in self.entries("otel_usage", node) {
            match key {
                "mode" => self.mode(node),
                "require_tls" => self.require_tls(node),
                "omit" => {
                    for node in self.list(key, node) {
                        match self.text(key, node) {
                            Some(text) => {
                                let origin = self.origin(node.at);
                                self.file
                                    .omit
                                    .push(Located { text: text.trim().to_owned(), origin });
                            }
                            None => self.mistake(node.at, "`omit` has an empty entry; remove it"),
                        }
                    }
                }
                "receipts" => self.receipts(node),
                _ => self.unknown(key, at, "mode, omit, receipts, require_tls"),
            }
        }
    }

    fn receipts(&mut self, node: &Node) {
        match self.text("receipts", node).as_deref().map(ReceiptsMode::parse) {
            Some(Some(mode)) => self.file.receipts = Some((mode, self.origin(node.at))),
            _ => self.mistake(node.at, "`receipts` is not on, bodies or off"),
        }
    }

    fn require_tls(&mut self, node: &Node) {
        let word = self.text("require_tls", node).map(|word| word.trim().to_ascii_lowercase());
        match word.as_deref() {
            Some("true") => self.file.require_tls = Some(self.origin(node.at)),
            None | Some("false") => {}
            Some(_) => self.mistake(node.at, "`require_tls` is neither true nor false"),
        }
    }

    fn mode(&mut self, node: &Node) {
        let word = self.text("mode", node).map(|word| word.trim().to_ascii_lowercase());
        let because = format!("configuration file {}: mode", self.origin(node.at));
        match word.as_deref() {
            // A file never turns an off into an on.
            Some("on") => {}
            Some("local") => self.narrow(Consent::Local, because),
            Some("off") => self.narrow(Consent::Off, because),
            _ => self.mistake(node.at, "`mode` is not on, local or off"),
        }
    }
}

/// Returns whether a key's suffix says that the specification may still change it.
pub(super) fn is_experimental(key: &str) -> bool {
    ["/alpha", "/beta", "/development"].iter().any(|suffix| key.ends_with(suffix))
}

/// Returns whether a plain scalar is null in YAML's core schema.
fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}
