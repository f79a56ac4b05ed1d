//! From the tree of a file to what it says.
//!
//! In: the tree, and the variables that its values name. Out: a [`ConfigFile`] with every mistake, not only
//! the first. A mistake in an exporter is that exporter's; one where a switch may stand (the root,
//! `distribution`) means off, because a misspelt `mode` must not mean on. Values are never shown: any of
//! them may be a secret.

use std::path::Path;
use std::time::Duration;

use super::substitute::substitute;
use super::yaml::{Node, Place, Value};
use super::{ConfigFile, Said};
use crate::config::otlp::{Origins, OtlpSettings, parse_headers};
use crate::config::{Consent, Decision, Env, Exporter, shown};

/// The specification's default for an exporter without an endpoint.
const ENDPOINT: &str = "http://localhost:4318/v1/traces";

/// Keys of the specification that have no meaning for usage reports.
const FOREIGN: &[&str] = &[
    "attribute_limits",
    "log_level",
    "logger_provider",
    "meter_provider",
    "propagator",
    "resource",
];

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

struct Reader<'a> {
    env: &'a Env,
    path: String,
    /// Whether a switch may stand where the reader is.
    switches: bool,
    ignored: Vec<String>,
    mistakes: Vec<(Place, String)>,
    file: ConfigFile,
}

/// A key, its place, and its value.
type Entry<'n> = (&'n str, Place, &'n Node);

impl Reader<'_> {
    fn finish(mut self) -> ConfigFile {
        self.mistakes.sort();
        self.file.mistakes =
            self.mistakes.iter().map(|(at, what)| format!("{}:{at} {what}", self.path)).collect();
        if !self.ignored.is_empty() {
            self.file.notes.push(format!(
                "{}: ignored, because usage reports know no such thing: {}",
                self.path,
                self.ignored.join(", ")
            ));
        }
        self.file
    }

    fn origin(&self, at: Place) -> String {
        format!("{}:{at}", self.path)
    }

    fn mistake(&mut self, at: Place, what: impl Into<String>) {
        let what = what.into();
        if self.switches {
            let damage = format!("{}:{at} {what}", self.path);
            self.narrow(Consent::Off, format!("configuration file {}: a mistake", self.origin(at)));
            self.file.damage.get_or_insert(damage);
        }
        self.mistakes.push((at, what));
    }

    fn unknown(&mut self, key: &str, at: Place, known: &str) {
        self.mistake(at, format!("`{}` is no key here; known are {known}", shown(key)));
    }

    fn ignore(&mut self, key: &str, at: Place) {
        self.ignored.push(format!("{} ({at})", shown(key)));
    }

    fn narrow(&mut self, consent: Consent, because: String) {
        if self.file.consent.as_ref().is_none_or(|decision| decision.consent < consent) {
            self.file.consent = Some(Decision { consent, because });
        }
    }

    // The nodes themselves.

    /// The text of a scalar. `None`: it is null, or a mistake, which is then noted.
    fn text(&mut self, key: &str, node: &Node) -> Option<String> {
        match &node.value {
            Value::Scalar { text, plain } => {
                let text = substitute(text, &mut |name| self.env.look_up(name));
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
                self.mistake(node.at, format!("`{key}` is no single value"));
                None
            }
        }
    }

    fn entries<'n>(&mut self, key: &str, node: &'n Node) -> Vec<Entry<'n>> {
        let Value::Map(nodes) = &node.value else {
            // Null is a block without keys; `text` notes what is neither.
            if matches!(node.value, Value::List(_)) || self.text(key, node).is_some() {
                self.mistake(
                    node.at,
                    format!("`{key}` is no mapping; write keys with values below it"),
                );
            }
            return Vec::new();
        };
        let mut entries: Vec<Entry<'n>> = Vec::new();
        for pair in nodes.chunks_exact(2) {
            let [name, value] = pair else { continue };
            match &name.value {
                Value::Scalar { text, .. } if entries.iter().any(|(other, ..)| other == text) => {
                    self.mistake(name.at, format!("`{}` stands twice; keep one", shown(text)));
                }
                Value::Scalar { text, .. } => entries.push((text, name.at, value)),
                _ => self.mistake(name.at, "a key is no text"),
            }
        }
        entries
    }

    fn list<'n>(&mut self, key: &str, node: &'n Node) -> &'n [Node] {
        if let Value::List(nodes) = &node.value {
            return nodes;
        }
        if matches!(node.value, Value::Map(_)) || self.text(key, node).is_some() {
            self.mistake(node.at, format!("`{key}` is no list; write `- ` before each entry"));
        }
        &[]
    }

    /// A mapping with exactly one key, which says what the rest is.
    fn only<'n>(&mut self, key: &str, node: &'n Node, known: &str) -> Option<Entry<'n>> {
        let mut entries = self.entries(key, node);
        match entries.pop() {
            Some(entry) if entries.is_empty() => Some(entry),
            Some(_) => {
                self.mistake(node.at, format!("`{key}` holds several keys; keep one of {known}"));
                None
            }
            None => {
                self.mistake(node.at, format!("`{key}` is empty; it wants one of {known}"));
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
                "says nothing; write file_format: \"1.0\", and what you mean below it",
            );
        } else if !entries.iter().any(|(key, ..)| *key == "file_format") {
            self.file.notes.push(format!("{}: file_format is missing; write \"1.0\"", self.path));
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
                _ if FOREIGN.contains(&key) || key.ends_with("/development") => {
                    self.ignore(key, at)
                }
                _ => self.unknown(key, at, "file_format, disabled, tracer_provider, distribution"),
            }
        }
    }

    fn format(&mut self, node: &Node) {
        let known = |text: &str| text.starts_with("1.") || text.starts_with("0.");
        if self.text("file_format", node).is_none_or(|text| !known(&text)) {
            self.mistake(node.at, "`file_format` is not known; write \"1.0\"");
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
                // Most likely ours, misspelt, with a switch below it.
                _ if key.contains("usage") => self.unknown(key, at, "otel_usage"),
                _ => self.ignore(key, at),
            }
        }
    }

    fn own(&mut self, node: &Node) {
        for (key, at, node) in self.entries("otel_usage", node) {
            match key {
                "mode" => self.mode(node),
                "omit" => {
                    for node in self.list(key, node) {
                        match self.text(key, node) {
                            Some(text) => {
                                let origin = self.origin(node.at);
                                self.file.omit.push(Said { text: text.trim().to_owned(), origin });
                            }
                            None => self.mistake(node.at, "`omit` has an empty entry; remove it"),
                        }
                    }
                }
                _ => self.unknown(key, at, "mode, omit"),
            }
        }
    }

    fn mode(&mut self, node: &Node) {
        let word = self.text("mode", node).map(|word| word.trim().to_ascii_lowercase());
        let because = format!("configuration file {}: mode", self.origin(node.at));
        match word.as_deref() {
            // Others decide: a file never turns an off into an on.
            Some("on") => {}
            Some("local") => self.narrow(Consent::Local, because),
            Some("off") => self.narrow(Consent::Off, because),
            _ => self.mistake(node.at, "`mode` is none of on, local, off"),
        }
    }

    fn tracer_provider(&mut self, node: &Node) {
        let mut processors = None;
        for (key, at, node) in self.entries("tracer_provider", node) {
            match key {
                "processors" => processors = Some(node),
                "limits" | "sampler" => self.ignore(key, at),
                _ if key.ends_with("/development") => self.ignore(key, at),
                _ => self.unknown(key, at, "processors"),
            }
        }
        // Whoever writes this block chooses; what is wrong in it must not bring the defaults back.
        self.file.exporters = Some(Vec::new());
        match processors {
            None => self.mistake(
                node.at,
                "`tracer_provider` has no processors; write processors: [] for none, or remove it",
            ),
            Some(node) => {
                for node in self.list("processors", node) {
                    self.processor(node);
                }
            }
        }
    }

    fn processor(&mut self, node: &Node) {
        const KNOWN: &str = "simple, batch";
        const SCHEDULE: &[&str] =
            &["export_timeout", "max_export_batch_size", "max_queue_size", "schedule_delay"];
        let Some((key, at, node)) = self.only("processors", node, KNOWN) else { return };
        if !matches!(key, "batch" | "simple") {
            return self.unknown(key, at, KNOWN);
        }
        let mut exporter = None;
        for (inner, at, node) in self.entries(key, node) {
            match inner {
                "exporter" => exporter = Some(node),
                // Reports are few and go out by a schedule of their own.
                _ if key == "batch" && SCHEDULE.contains(&inner) => self.ignore(inner, at),
                _ => self.unknown(inner, at, "exporter"),
            }
        }
        match exporter {
            Some(node) => self.exporter(node),
            None => self.mistake(at, format!("`{key}` has no exporter")),
        }
    }

    fn exporter(&mut self, node: &Node) {
        const KNOWN: &str = "otlp_http, console, usage_server, usage_file";
        let Some((key, at, node)) = self.only("exporter", node, KNOWN) else { return };
        let before = self.mistakes.len();
        let exporter = match key {
            "console" => Exporter::Console,
            "otlp_http" => Exporter::Otlp,
            "usage_file" => Exporter::File,
            "usage_server" => Exporter::Server,
            "otlp_grpc" => {
                return self.mistake(at, "`otlp_grpc` is not in this build; use otlp_http");
            }
            _ => return self.unknown(key, at, KNOWN),
        };
        if self.file.exporters.as_ref().is_some_and(|named| named.contains(&exporter)) {
            return self.mistake(at, format!("`{key}` stands twice; there is one of each"));
        }
        match exporter {
            Exporter::Console => {
                for (inner, at, _) in self.entries(key, node) {
                    self.mistake(
                        at,
                        format!("`{}` is no key here; console has none", shown(inner)),
                    );
                }
            }
            Exporter::Otlp => self.file.otlp = Some(self.otlp(node)),
            Exporter::File => {
                for (key, at, node) in self.entries(key, node) {
                    match key {
                        "path" => self.file.file = self.text(key, node),
                        _ => self.unknown(key, at, "path"),
                    }
                }
            }
            Exporter::Server => {
                for (key, at, node) in self.entries(key, node) {
                    match key {
                        "endpoint" => self.file.server = self.endpoint(node),
                        _ => self.unknown(key, at, "endpoint"),
                    }
                }
            }
        }
        if self.mistakes.len() == before
            && let Some(named) = &mut self.file.exporters
        {
            named.push(exporter);
        }
    }

    fn endpoint(&mut self, node: &Node) -> Option<Said> {
        let text = self.text("endpoint", node)?.trim().to_owned();
        let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        if host.is_none_or(|host| host.is_empty() || host.contains(char::is_whitespace)) {
            self.mistake(
                node.at,
                "`endpoint` is not a URL; write http://host:port/path or https://…",
            );
        }
        Some(Said { text, origin: self.origin(node.at) })
    }

    fn otlp(&mut self, node: &Node) -> OtlpSettings {
        let here = self.origin(node.at);
        let mut otlp = OtlpSettings::at(ENDPOINT.to_owned(), Origins::all(&here));
        let mut listed = Vec::new();
        for (key, at, node) in self.entries("otlp_http", node) {
            match key {
                "endpoint" => {
                    if let Some(Said { text, origin }) = self.endpoint(node) {
                        (otlp.endpoint, otlp.origins.endpoint) = (text, origin);
                    }
                }
                "headers" => otlp.headers = self.headers(node),
                "headers_list" => {
                    let text = self.text(key, node).unwrap_or_default();
                    listed = parse_headers(&text).unwrap_or_else(|| {
                        self.mistake(
                            node.at,
                            "`headers_list` cannot be read; write key=value,key2=value2",
                        );
                        Vec::new()
                    });
                }
                "compression" => match self.text(key, node).as_deref() {
                    Some("gzip") => otlp.gzip = true,
                    None | Some("none") => {}
                    Some(_) => self.mistake(node.at, "`compression` is neither gzip nor none"),
                },
                "encoding" => {
                    if self.text(key, node).is_some_and(|text| text != "protobuf") {
                        self.mistake(
                            node.at,
                            "`encoding` is not protobuf, which is all this build speaks",
                        );
                    }
                }
                "timeout" => {
                    let text = self.text(key, node);
                    match text.as_deref().map(str::parse) {
                        None => {}
                        Some(Ok(millis)) if millis > 0 => {
                            otlp.timeout = Duration::from_millis(millis)
                        }
                        Some(_) => self.mistake(
                            node.at,
                            "`timeout` is no number of milliseconds above 0, for example 10000",
                        ),
                    }
                }
                "tls" => {
                    for (key, at, node) in self.entries(key, node) {
                        match key {
                            "ca_file" => {
                                otlp.certificate =
                                    self.text(key, node).map(|path| self.env.expand(path));
                                otlp.origins.certificate = self.origin(node.at);
                            }
                            _ => self.unknown(key, at, "ca_file"),
                        }
                    }
                }
                _ => self.unknown(
                    key,
                    at,
                    "endpoint, headers, headers_list, compression, encoding, timeout, tls",
                ),
            }
        }
        // The specification: `headers` win over `headers_list`.
        listed.retain(|(name, _)| otlp.headers.iter().all(|(other, _)| other != name));
        otlp.headers.extend(listed);
        otlp
    }

    fn headers(&mut self, node: &Node) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        for node in self.list("headers", node) {
            let (mut name, mut value) = (None, None);
            for (key, at, node) in self.entries("headers", node) {
                match key {
                    "name" => name = self.text(key, node),
                    "value" => value = self.text(key, node),
                    // Not shown: `authorization: Bearer …` would be the key.
                    _ => self.mistake(at, "a header has a key that is neither `name` nor `value`"),
                }
            }
            match (name, value) {
                (Some(name), Some(value)) if fits(&name, &value) => {
                    headers.push((name.to_ascii_lowercase(), value));
                }
                (Some(_), Some(_)) => {
                    self.mistake(node.at, "a header has a name or value that HTTP forbids");
                }
                // The specification ignores a header without a value.
                (Some(_), None) => {}
                (None, _) => {
                    self.mistake(node.at, "a header has no name; write {name: …, value: …}")
                }
            }
        }
        headers
    }
}

/// Null in YAML's core schema.
fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// Whether HTTP can carry the header.
fn fits(name: &str, value: &str) -> bool {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !name.is_empty()
        && name.chars().all(token)
        && value.chars().all(|c| c == '\t' || (' '..='~').contains(&c))
}
