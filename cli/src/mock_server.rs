//! `otel-usage mock-server`: a usage server for tests, which prints each message and misbehaves on request.
//!
//! The package `otel-usage-mock-server` does the work.

use std::fmt::Write as _;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;

use anyhow::{Context as _, anyhow};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use otel_usage_mock_server::{Event, FAULTS, Fault, MockServer, Request, Script};
use prost::Message as _;
use serde_json::Value;

use crate::output::{CAUTION, HEADING, styled};
use crate::words::did_you_mean;
use crate::{exit, output};

/// Most bytes of a message after decompression.
const DECODED_BYTES: u64 = 64 * 1024 * 1024;

#[derive(Debug, clap::Args)]
#[command(after_help = faults())]
pub(crate) struct Args {
    /// Address to listen on. Port 0 stands for a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Behaviour of the server on its next connection. May be given several times; the last one repeats
    #[arg(long, value_name = "NAME[:ARGUMENT]", value_parser = fault)]
    fault: Vec<Fault>,
    /// Print only the messages as JSON, one a line
    #[arg(long)]
    json: bool,
}

/// Returns the table of faults for the help.
fn faults() -> String {
    let width = FAULTS.iter().map(|(form, _)| form.len()).max().unwrap_or_default();
    let mut text = "Faults:\n".to_owned();
    for (form, what) in FAULTS {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "  {form:<width$}  {what}");
    }
    text + "\nExample: the first attempt finds a server that is overloaded, the next one finds it well\n  \
            otel-usage mock-server --fault status:503:2 --fault ok"
}

fn fault(text: &str) -> Result<Fault, String> {
    text.parse().map_err(|error: String| {
        let names = FAULTS.iter().map(|(form, _)| form.split([':', '[']).next().unwrap_or(form));
        if error.contains("no fault") { error + &did_you_mean(text, names) } else { error }
    })
}

pub(crate) fn run(args: &Args) -> anyhow::Result<u8> {
    let script = Script::new(args.fault.clone()).map_err(|error| anyhow!("--fault: {error}"))?;
    let listener = TcpListener::bind(args.listen).with_context(|| {
        format!(
            "--listen {}: the address is taken or not of this machine: choose another",
            args.listen
        )
    })?;
    // One thread prints, so that two messages are never mixed.
    let (sender, events) = mpsc::channel();
    let server = MockServer::start(listener, script, move |event| {
        // It fails only while the process ends.
        let _ = sender.send(event);
    })?;
    welcome(&server.url());
    let mut messages: usize = 0;
    for event in events {
        match event {
            Event::Begins(_, Fault::Ok) | Event::Ends(_, _, None) => {}
            Event::Begins(number, fault) => {
                output::note(&format!("connection {number}: {}", styled(CAUTION, fault)));
            }
            Event::Request(_, request) if args.json => output::print(&lines(&request))?,
            Event::Request(_, request) => {
                messages = messages.saturating_add(1);
                output::show(&shown(messages, &request))?;
            }
            Event::Ends(number, sent, Some(why)) => {
                output::note(&format!(
                    "connection {number} ended after {sent} bytes of answers: {why}"
                ));
            }
            _ => {}
        }
    }
    Ok(exit::SUCCESS)
}

fn welcome(url: &str) {
    output::note(&format!("listening on {}; Ctrl-C stops it", styled(HEADING, url)));
    output::note("start an engine with one of these variables to send its messages here:");
    for name in [
        "VLLM_USAGE_STATS_SERVER",
        "LMCACHE_USAGE_TRACK_URL",
        "OTEL_USAGE_EXPORTERS=otlp OTEL_USAGE_OTLP_ENDPOINT",
    ] {
        output::note(&format!("  {name}={url}"));
    }
}

/// Returns a message for people: where it went, and a line for each key.
fn shown(number: usize, request: &Request) -> String {
    let heading = format!("{number}. {} {}", request.method, request.path);
    let rows = match message(request) {
        Ok(Read::Flat(value)) => match value.as_object() {
            Some(object) => {
                object.iter().map(|(key, value)| (key.clone(), value.to_string())).collect()
            }
            None => vec![("value".to_owned(), value.to_string())],
        },
        Ok(Read::Otlp(request)) => spans(&request),
        Err(why) => vec![("body".to_owned(), why)],
    };
    let width = rows.iter().map(|(key, _)| key.chars().count()).max().unwrap_or_default();
    let mut text = format!("{}\n", styled(HEADING, printable(&heading)));
    for (key, value) in rows {
        let _ = writeln!(text, "  {:<width$}  {}", printable(&key), printable(&value));
    }
    text.push('\n');
    text
}

/// Returns a message for programs, as one line.
fn lines(request: &Request) -> String {
    match message(request) {
        Ok(Read::Flat(value)) => format!("{value}\n"),
        Ok(Read::Otlp(request)) => serde_json::to_string(&request).unwrap_or_default() + "\n",
        Err(why) => {
            output::warning(&format!("{} {}: {why}", request.method, request.path));
            String::new()
        }
    }
}

/// A body that was understood.
enum Read {
    Flat(Value),
    Otlp(ExportTraceServiceRequest),
}

/// Reads the body, or says what it is instead.
fn message(request: &Request) -> Result<Read, String> {
    let length = request.body.len();
    let mut body = Vec::new();
    match request.header("content-encoding") {
        None | Some("identity") => body.clone_from(&request.body),
        Some("gzip") => {
            flate2::read::GzDecoder::new(request.body.as_slice())
                .take(DECODED_BYTES)
                .read_to_end(&mut body)
                .map_err(|error| format!("{length} bytes that are no gzip: {error}"))?;
        }
        Some(other) => return Err(format!("{length} bytes, compressed by {other}")),
    }
    let otlp = request.header("content-type").is_some_and(|kind| kind.contains("protobuf"));
    if otlp {
        return ExportTraceServiceRequest::decode(body.as_slice())
            .map(Read::Otlp)
            .map_err(|error| format!("{length} bytes that are no traces of OTLP: {error}"));
    }
    serde_json::from_slice(&body).map(Read::Flat).map_err(|error| {
        if body.is_empty() {
            "none".to_owned()
        } else {
            format!("{length} bytes that are no JSON: {error}")
        }
    })
}

/// Returns the attributes of resources and spans.
fn spans(request: &ExportTraceServiceRequest) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let mut add = |place: &str, attributes: &[KeyValue]| {
        for one in attributes {
            let value = one.value.as_ref().and_then(|value| serde_json::to_value(value).ok());
            let value =
                value.as_ref().and_then(Value::as_object).and_then(|value| value.values().next());
            rows.push((format!("{place}{}", one.key), value.unwrap_or(&Value::Null).to_string()));
        }
    };
    for group in &request.resource_spans {
        add("resource: ", group.resource.as_ref().map_or(&[], |resource| &resource.attributes));
        for span in group.scope_spans.iter().flat_map(|scope| &scope.spans) {
            add(&format!("span {}: ", span.name), &span.attributes);
        }
    }
    rows
}

/// Returns text without the characters by which it could command a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { '\u{fffd}' } else { one }).collect()
}
