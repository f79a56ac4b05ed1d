//! Prints tables for ClickHouse: one typed table for each message, and a view that computes the same rows from the trace
//! table of the stock OpenTelemetry exporter.
//!
//! A row that arrives twice, by a retry after a crash, is stored once, because the tables replace rows with the same
//! identity. Messages without one are stored once if the retry names its insert by a token. `received` is the time of
//! insertion, and decides when a message is deleted. Texts that repeat are stored by number, and times as differences,
//! because a heartbeat is little else.

use std::fmt::Write as _;

use otel_usage::Contract;
use otel_usage::schema::resource::INSTANCE_ID;
use otel_usage::schema::{Field, Instrument, Literal, MessageSpec, Origin, Source, Type, run};

/// Days for which a message is kept, because it holds an identity. Questions read when an engine was first heard of, and
/// compare a month with that of a year before.
const DAYS: u32 = 400;

pub(super) fn all(contracts: &[Contract]) -> String {
    let mut text = "-- Generated from the contracts by `otel-usage schema --format clickhouse`.\n\
        -- The views read `otel_traces`, which the OpenTelemetry Collector's exporter makes.\n"
        .to_owned();
    for (contract, spec) in super::messages(contracts) {
        let _ = write!(text, "\n{};\n", table(contract, spec));
        view(&mut text, contract, spec);
    }
    text
}

/// Returns a statement for each table, without the views.
#[cfg(feature = "serve")]
pub(crate) fn tables(contracts: &[Contract]) -> Vec<String> {
    super::messages(contracts).map(|(contract, spec)| table(contract, spec)).collect()
}

/// Returns the name of the table. Only letters and digits are kept, others become `_`.
fn name(contract: &Contract, spec: &MessageSpec) -> String {
    let joined = format!("usage_{}_{}", contract.id, spec.name);
    joined.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

fn table(contract: &Contract, spec: &MessageSpec) -> String {
    let key = identity(spec);
    let mut text = format!("CREATE TABLE IF NOT EXISTS {} (\n", name(contract, spec));
    for field in spec.fields.iter() {
        let nullable = is_nullable(field) && !key.contains(&field.name.as_ref());
        // Writing to a `String` cannot fail.
        let _ = writeln!(
            text,
            "    {} {} COMMENT {}{},",
            quoted(&field.name, '`'),
            column(field, nullable, repeats(contract, field)),
            quoted(&field.doc, '\''),
            codec(field),
        );
    }
    text.push_str("    `received` DateTime64(3) DEFAULT now64(3) CODEC(Delta, ZSTD)\n");
    let columns: Vec<String> = key.iter().map(|name| quoted(name, '`')).collect();
    text.push_str(&match columns.as_slice() {
        [] => ") ENGINE = MergeTree ORDER BY received".to_owned(),
        columns => format!(") ENGINE = ReplacingMergeTree ORDER BY ({})", columns.join(", ")),
    });
    let _ = write!(text, "\nTTL toDateTime(received) + INTERVAL {DAYS} DAY");
    if columns.is_empty() {
        // How many of the last inserts are known by their tokens.
        text.push_str("\nSETTINGS non_replicated_deduplication_window = 1000");
    }
    text
}

/// Returns the columns that identify a row.
fn identity(spec: &MessageSpec) -> Vec<&str> {
    let fields = || spec.fields.iter();
    let instance = fields().find(|field| field.source.resources() == [INSTANCE_ID]);
    let Some(instance) = instance else { return Vec::new() };
    let more = fields().filter(|field| {
        matches!(field.source, Source::Time)
            || field.instrument == Some(Instrument::Dimension)
            || field.source.record() == Some(run::SEQUENCE_NUMBER)
            // A process with several ranks sends one message for each rank.
            || field.source.record() == Some("lmcache.worker_id")
    });
    [instance].into_iter().chain(more).map(|field| field.name.as_ref()).collect()
}

fn is_nullable(field: &Field) -> bool {
    let scalar = !matches!(field.ty, Type::Ints | Type::Strs | Type::Histogram);
    scalar && (field.optional || field.absent == Literal::Null)
}

/// Returns whether many rows have the same text. Only the identities of a process and of a machine are each other's own.
fn repeats(contract: &Contract, field: &Field) -> bool {
    let machine = contract.attributes.iter().find(|one| one.origin == Origin::MachineId);
    field.source.resources() != [INSTANCE_ID]
        && machine.is_none_or(|machine| field.source.resources() != [machine.name.as_ref()])
}

fn column(field: &Field, nullable: bool, repeats: bool) -> String {
    let plain = match field.ty {
        Type::Bool => "Bool",
        Type::Float => "Float64",
        Type::Histogram => "Map(String, Int64)",
        Type::Int => "Int64",
        Type::Ints => "Array(Int64)",
        Type::Strs => "Array(LowCardinality(String))",
        _ => "String",
    };
    let column = if nullable { format!("Nullable({plain})") } else { plain.to_owned() };
    if repeats && plain == "String" { format!("LowCardinality({column})") } else { column }
}

const fn codec(field: &Field) -> &'static str {
    match (&field.source, field.ty) {
        (Source::Time, _) => " CODEC(Delta, ZSTD)",
        (_, Type::Bool | Type::Float | Type::Int) => "",
        _ => " CODEC(ZSTD)",
    }
}

fn view(text: &mut String, contract: &Contract, spec: &MessageSpec) {
    let _ = write!(text, "\nCREATE VIEW IF NOT EXISTS {}_otel AS SELECT\n", name(contract, spec));
    let fields: Vec<String> = spec
        .fields
        .iter()
        .map(|field| format!("    {} AS {}", expression(field), quoted(&field.name, '`')))
        .collect();
    let _ = write!(
        text,
        "{}\nFROM otel_traces\nWHERE SpanAttributes['otel_usage.contract'] = {} AND SpanName = {};\n",
        fields.join(",\n"),
        quoted(&contract.id, '\''),
        quoted(&spec.record, '\''),
    );
}

/// Returns the expression that computes a field from a row of `otel_traces`, where every attribute is text and an
/// absent one is empty.
fn expression(field: &Field) -> String {
    let read = |map: &str, name: &str| format!("{map}[{}]", quoted(name, '\''));
    let resource = |name: &str| read("ResourceAttributes", name);
    let absent = literal(&field.absent, field.ty);
    match &field.source {
        Source::Constant(value) => literal(value, field.ty),
        Source::Record(name) => parsed(&read("SpanAttributes", name), &absent, field),
        Source::Resource(name) => parsed(&resource(name), &absent, field),
        Source::ResourceOr { name, fallback, unless } => format!(
            "if({} = '' AND {} = '', {}, {})",
            resource(name),
            resource(unless),
            parsed(&resource(fallback), &absent, field),
            parsed(&resource(name), &absent, field),
        ),
        Source::ResourceJoined(names) => {
            let parts: Vec<String> = names.iter().map(|name| resource(name)).collect();
            format!("concat({})", parts.join(", ',', "))
        }
        Source::ResourceMapped(name, words) => {
            let of = |side: fn(&(_, _)) -> &std::borrow::Cow<'static, str>| {
                let words: Vec<String> =
                    words.iter().map(|pair| quoted(side(pair), '\'')).collect();
                format!("[{}]", words.join(", "))
            };
            let (from, to) = (of(|pair| &pair.0), of(|pair| &pair.1));
            format!("transform({}, {from}, {to}, {absent})", resource(name))
        }
        // The span of a record has no duration. If it had one, the record would have the time of its end.
        _ => "toUnixTimestamp64Nano(toDateTime64(Timestamp, 9)) + toInt64(Duration)".to_owned(),
    }
}

fn parsed(raw: &str, absent: &str, field: &Field) -> String {
    let value = match field.ty {
        Type::Bool => format!("toBool({raw})"),
        Type::Float => format!("toFloat64({raw})"),
        Type::Int => format!("toInt64({raw})"),
        Type::Ints => format!("JSONExtract({raw}, 'Array(Int64)')"),
        Type::Strs => format!("JSONExtract({raw}, 'Array(String)')"),
        Type::Histogram => {
            let keys: Vec<String> = field.bucket_keys().map(|key| quoted(&key, '\'')).collect();
            return format!(
                "mapFromArrays([{}], arrayResize(JSONExtract({raw}, 'Array(Int64)'), {}, 0))",
                keys.join(", "),
                keys.len(),
            );
        }
        _ => raw.to_owned(),
    };
    format!("if({raw} = '', {absent}, {value})")
}

fn literal(value: &Literal, ty: Type) -> String {
    match value {
        Literal::Bool(value) => value.to_string(),
        Literal::Float(value) => format!("toFloat64({value})"),
        Literal::Int(value) => format!("toInt64({value})"),
        Literal::Ints(values) => format!("CAST({values:?}, 'Array(Int64)')"),
        Literal::Str(text) => quoted(text, '\''),
        Literal::Strs(words) => {
            let words: Vec<String> = words.iter().map(|word| quoted(word, '\'')).collect();
            format!("[{}]", words.join(", "))
        }
        _ if ty == Type::Ints => "CAST([], 'Array(Int64)')".to_owned(),
        _ if ty == Type::Strs => "CAST([], 'Array(String)')".to_owned(),
        _ => "NULL".to_owned(),
    }
}

/// Returns `text` in quotes, with special characters escaped.
fn quoted(text: &str, quote: char) -> String {
    let escaped = text.replace('\\', "\\\\").replace(quote, &format!("\\{quote}"));
    format!("{quote}{escaped}{quote}")
}
