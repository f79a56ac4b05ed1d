//! Reads the exporters and their settings from the file's `tracer_provider`.
//!
//! An exporter with a mistake does not run.

use std::path::PathBuf;
use std::time::Duration;

use super::Located;
use super::read::{Reader, is_experimental};
use super::yaml::Node;
use crate::export::ExporterName;
use crate::settings::otlp::{Origins, OtlpSettings, parse_headers};
use crate::settings::shown;

/// The specification's default for an exporter without an endpoint.
const ENDPOINT: &str = "http://localhost:4318/v1/traces";

impl Reader<'_> {
    pub(super) fn tracer_provider(&mut self, node: &Node) {
        let mut processors = None;
        for (key, at, node) in self.entries("tracer_provider", node) {
            match key {
                "processors" => processors = Some(node),
                "id_generator" | "limits" | "sampler" => self.ignore(key, at),
                _ if is_experimental(key) => self.ignore(key, at),
                _ => self.unknown(key, at, "processors"),
            }
        }
        // The block replaces the default exporters, even if all of its entries are mistakes.
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
                // Usage data has a schedule of its own.
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
            "console" => ExporterName::Console,
            "otlp_http" => ExporterName::Otlp,
            "usage_file" => ExporterName::File,
            "usage_server" => ExporterName::Server,
            "otlp_grpc" => {
                return self.mistake(at, "`otlp_grpc` is not in this build; use otlp_http");
            }
            _ => return self.unknown(key, at, KNOWN),
        };
        if self.file.exporters.as_ref().is_some_and(|named| named.contains(&exporter)) {
            return self.mistake(at, format!("`{key}` occurs twice; there is one of each"));
        }
        match exporter {
            ExporterName::Console => {
                for (inner, at, _) in self.entries(key, node) {
                    self.mistake(
                        at,
                        format!("`{}` is not a key here; console has none", shown(inner)),
                    );
                }
            }
            ExporterName::Otlp => self.file.otlp = Some(self.otlp(node)),
            ExporterName::File => {
                for (key, at, node) in self.entries(key, node) {
                    match key {
                        "path" => self.file.file = self.text(key, node),
                        _ => self.unknown(key, at, "path"),
                    }
                }
            }
            ExporterName::Server => {
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

    fn endpoint(&mut self, node: &Node) -> Option<Located> {
        let text = self.text("endpoint", node)?.trim().to_owned();
        let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        if host.is_none_or(|host| host.is_empty() || host.contains(char::is_whitespace)) {
            self.mistake(
                node.at,
                "`endpoint` is not a URL; write http://host:port/path or https://…",
            );
        }
        Some(Located { text, origin: self.origin(node.at) })
    }

    fn otlp(&mut self, node: &Node) -> OtlpSettings {
        let here = self.origin(node.at);
        let mut otlp = OtlpSettings::at(ENDPOINT.to_owned(), Origins::all(&here));
        let mut listed = Vec::new();
        for (key, at, node) in self.entries("otlp_http", node) {
            match key {
                "endpoint" => {
                    if let Some(Located { text, origin }) = self.endpoint(node) {
                        (otlp.endpoint, otlp.origins.endpoint) = (text, origin);
                    }
                }
                // The messages are small, and answers are cut.
                "max_request_size" | "max_response_size" => self.ignore(key, at),
                _ if is_experimental(key) => self.ignore(key, at),
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
                            "`encoding` is not protobuf, the only encoding of this build",
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
                            "`timeout` is not a number of milliseconds above 0, for example 10000",
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
                            "cert_file" => otlp.client_certificate = self.located(key, node),
                            "key_file" => otlp.client_key = self.located(key, node),
                            _ => self.unknown(key, at, "ca_file, cert_file, key_file"),
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
        // The specification lets `headers` win over `headers_list`.
        listed.retain(|(name, _)| otlp.headers.iter().all(|(other, _)| other != name));
        otlp.headers.extend(listed);
        otlp
    }

    /// Returns the place of a path, and the path.
    fn located(&mut self, key: &str, node: &Node) -> Option<(String, PathBuf)> {
        let path = self.text(key, node)?;
        Some((self.origin(node.at), self.env.expand(path)))
    }

    fn headers(&mut self, node: &Node) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        for node in self.list("headers", node) {
            let (mut name, mut value) = (None, None);
            for (key, at, node) in self.entries("headers", node) {
                match key {
                    "name" => name = self.text(key, node),
                    "value" => value = self.text(key, node),
                    // The key is not shown, because it may hold a secret (`authorization: …`).
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

/// Returns whether HTTP can carry the header.
fn fits(name: &str, value: &str) -> bool {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !name.is_empty()
        && name.chars().all(token)
        && value.chars().all(|c| c == '\t' || (' '..='~').contains(&c))
}
