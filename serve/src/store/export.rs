//! Writes what the store holds for other tools: sessions with their facets, or the messages as they were kept.

use std::io::Write;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{file, line};

/// The rows to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "the command lists them")]
pub enum Rows {
    /// One row for each session.
    Sessions,
    /// One row for each message in the batches.
    Messages,
}

/// How to write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "the command lists them")]
pub enum Format {
    /// Comma-separated values with a head.
    Csv,
    /// One JSON object a line.
    Json,
}

/// The columns of a session before its facets.
const SESSION: [&str; 7] = ["id", "engine", "contract", "machine", "first", "last", "beats"];
/// The columns of a message.
const MESSAGE: [&str; 5] = ["contract", "message", "received", "time_nanos", "body"];

/// Writes rows of the store at `path`. A server may use the file meanwhile. Times are in milliseconds since the Unix
/// epoch.
///
/// # Errors
///
/// The file cannot be read, or `out` cannot be written.
pub fn export(path: &Path, rows: Rows, format: Format, out: &mut dyn Write) -> anyhow::Result<()> {
    let connection = file::open_to_read(path)?;
    match rows {
        Rows::Sessions => {
            let mut names = connection.prepare(
                "SELECT text FROM word WHERE id IN (SELECT DISTINCT name FROM facet) ORDER BY text",
            )?;
            let facets: Vec<String> =
                names.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            let columns: Vec<&str> =
                SESSION.into_iter().chain(facets.iter().map(String::as_str)).collect();
            head(&columns, format, out)?;
            let mut select = connection.prepare(
                "SELECT uuid, e.text, c.text, machine, first, last, beats, \
                 (SELECT json_group_object(n.text, v.text) FROM facet JOIN word n ON n.id = name \
                  JOIN word v ON v.id = value WHERE session = s.id) \
                 FROM session s JOIN word e ON e.id = engine JOIN word c ON c.id = contract ORDER BY s.id",
            )?;
            let mut found = select.query([])?;
            while let Some(row) = found.next()? {
                let id = |bytes: [u8; 16]| Uuid::from_bytes(bytes).hyphenated().to_string();
                let machine: Option<[u8; 16]> = row.get(3)?;
                let (engine, contract): (String, String) = (row.get(1)?, row.get(2)?);
                let (first, last, beats): (i64, i64, i64) = (row.get(4)?, row.get(5)?, row.get(6)?);
                let values = [
                    json!(id(row.get(0)?)),
                    json!(engine),
                    json!(contract),
                    json!(machine.map(id)),
                    json!(first),
                    json!(last),
                    json!(beats),
                ];
                let text: String = row.get(7)?;
                let mut own: Map<String, Value> = serde_json::from_str(&text)?;
                let facets = facets.iter().map(|name| own.remove(name).unwrap_or(Value::Null));
                write_row(&columns, values.into_iter().chain(facets), format, out)?;
            }
        }
        Rows::Messages => {
            head(&MESSAGE, format, out)?;
            let mut select = connection.prepare("SELECT id, lines FROM batch ORDER BY id")?;
            let mut found = select.query([])?;
            while let Some(row) = found.next()? {
                let id: i64 = row.get(0)?;
                let frame = row.get_ref(1)?.as_blob().unwrap_or_default();
                let damaged = || format!("batch {id} is damaged: see `otel-usage serve check`");
                let text = line::decompress(frame).ok().with_context(damaged)?;
                for text in text.lines() {
                    let line = line::read(text).ok().with_context(damaged)?;
                    let time = (line.time_nanos != 0).then_some(line.time_nanos);
                    let body = match format {
                        Format::Csv => json!(line.body),
                        Format::Json => serde_json::from_str(line.body)?,
                    };
                    let values = [
                        json!(line.contract),
                        json!(line.message),
                        json!(line.received),
                        json!(time),
                        body,
                    ];
                    write_row(&MESSAGE, values, format, out)?;
                }
            }
        }
    }
    out.flush()?;
    Ok(())
}

fn head(columns: &[&str], format: Format, out: &mut dyn Write) -> std::io::Result<()> {
    if format == Format::Csv { writeln!(out, "{}", columns.join(",")) } else { Ok(()) }
}

fn write_row(
    columns: &[&str],
    values: impl IntoIterator<Item = Value>,
    format: Format,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    match format {
        Format::Json => {
            let names = columns.iter().map(|name| (*name).to_owned());
            let object: Map<String, Value> =
                names.zip(values).filter(|(_, value)| !value.is_null()).collect();
            writeln!(out, "{}", Value::Object(object))
        }
        Format::Csv => {
            let cells: Vec<String> = values.into_iter().map(cell).collect();
            writeln!(out, "{}", cells.join(","))
        }
    }
}

/// Returns a value as a cell. A text that a spreadsheet would take for a formula is quoted with an apostrophe.
fn cell(value: Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) if text.starts_with(['=', '+', '-', '@']) => format!("'{text}"),
        Value::String(text) => text,
        other => return other.to_string(),
    };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}
