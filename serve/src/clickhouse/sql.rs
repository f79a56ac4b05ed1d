//! Writes the query of a table for ClickHouse.
//!
//! The parts are those of the projection: what was heard of whom and when, sessions, presence on the day, and facets.

use otel_usage_schema::{Contract, MessageSpec, Source};

use super::{quote, tables};
use crate::questions::{Amount, Engine, Key, MOST_DEVICES, Population, Table, Which};
use crate::store::{FACETS, Kind, Shape, Shapes, time};

/// The messages that a server takes.
#[derive(Debug)]
pub(super) struct Messages(Vec<Message>);

/// Returns the query. Each row is an array of the contract and the keys, the network, engines, and an array of amounts.
pub(super) fn query(
    all: &Messages,
    table: &Table,
    engine: Engine,
    day: i64,
    which: Which,
) -> String {
    if table.population == Population::Unnamed {
        return unnamed(engine, day);
    }
    let messages = all.of(engine);
    let population = match table.population {
        Population::Served => "present AND beats >= 6".to_owned(),
        Population::Started => format!("intDiv(first, 86400000) = {day}"),
        Population::StartedBefore(days) => {
            format!("present AND intDiv(first, 86400000) = {day} - {days}")
        }
        Population::Unnamed => "true".to_owned(),
    };
    let late = match which {
        Which::All => String::new(),
        Which::Late => format!(" AND key >= 0 AND sessions.id NOT IN ({})", counted(day)),
    };
    let mut joins = String::new();
    let mut join = |name: &str, rows: String| {
        joins.push_str(&format!("\nLEFT JOIN ({rows}) AS {name} ON {name}.id = sessions.id"));
    };
    let mut keys = vec!["toNullable(contract)".to_owned()];
    for (number, key) in table.keys.iter().enumerate() {
        let name = format!("key{number}");
        keys.push(match key {
            Key::Facet(facet) => {
                join(&name, facet_of(&messages, facet));
                format!("{name}.value")
            }
            Key::HitShare => {
                join(&name, hits(&messages, day));
                format!("coalesce({name}.value, 'no tokens')")
            }
            Key::CacheLife => {
                join(&name, cache_life(&messages, day));
                format!("{name}.value")
            }
            Key::Steady => format!(
                "toNullable(if(last - first >= {}, 'seven days and more', 'less than seven days'))",
                7 * time::DAY
            ),
            Key::Lived => "toNullable(multiIf(last - first < 600000, 'less than 10 minutes', \
                last - first < 3600000, '10 minutes to an hour', \
                last - first < 86400000, 'an hour to a day', 'a day and more'))"
                .to_owned(),
        });
    }
    let one = match table.population {
        Population::StartedBefore(_) => {
            join("weights", WEIGHTS.to_owned());
            "coalesce(weights.weight, 1)"
        }
        _ => "1",
    };
    if !table.amounts.is_empty() {
        join("devices", facet_of(&messages, "accelerators"));
    }
    let amounts: Vec<&str> = table
        .amounts
        .iter()
        .map(|amount| match amount {
            Amount::Devices => "sum(device)",
            Amount::DeviceHours => "sum(device * slots / 6)",
        })
        .collect();
    let device = if table.amounts.is_empty() {
        "0".to_owned()
    } else {
        format!("least(greatest(toFloat64OrZero(coalesce(devices.value, '')), 0), {MOST_DEVICES})")
    };
    format!(
        "WITH heard AS ({heard}),
sessions AS (
    SELECT id, min(time) AS first, max(time) AS last,
        if(countIf(kind = 'start') > 0, minIf(contract, kind = 'start'), min(contract)) AS contract,
        uniqExactIf(intDiv(time, 600000), kind = 'beat') + uniqExactIf(unit, kind = 'interval') AS beats,
        uniqExactIf(intDiv(time, 600000), kind IN ('beat', 'interval') AND intDiv(time, 86400000) = {day}) AS slots,
        slots > 0 AS present
    FROM heard GROUP BY id
),
origins AS (
    SELECT session AS id, min((key, origin)) AS network FROM usage_origin WHERE day = {day} GROUP BY session
)
SELECT reported, (key, origin), toFloat64(sum(one)), CAST([{amounts}], 'Array(Float64)')
FROM (
    SELECT [{keys}] AS reported, slots, {device} AS device, {one} AS one,
        coalesce(origins.network.1, -1) AS key, coalesce(origins.network.2, -1) AS origin
    FROM sessions
    LEFT JOIN origins ON origins.id = sessions.id{joins}
    WHERE {population}{late}
)
GROUP BY reported, key, origin
SETTINGS join_use_nulls = 1, output_format_json_quote_64bit_integers = 0
FORMAT JSONCompactEachRow",
        heard = all.heard_of(engine),
        amounts = amounts.join(", "),
        keys = keys.join(", "),
    )
}

/// The weight of each engine that started in a network with many starts.
const WEIGHTS: &str =
    "SELECT session AS id, min(weight) AS weight FROM usage_weight GROUP BY session";

impl Messages {
    /// Reads the built-in contracts and `own`, which replace built-in ones of the same id.
    pub(super) fn new(own: &[Contract]) -> Self {
        let shapes = Shapes::new(own);
        let of = |contract: &Contract, spec: &MessageSpec| {
            let shape = shapes.get(shapes.find(&contract.id, &spec.name)?)?.clone();
            Some(Message { shape, spec: spec.clone() })
        };
        let built_in = Contract::built_in();
        let built_in = built_in.into_iter().filter(|c| own.iter().all(|own| own.id != c.id));
        let all = built_in.chain(own).flat_map(|contract| {
            contract.messages.iter().filter_map(|spec| of(contract, spec)).collect::<Vec<_>>()
        });
        Self(all.collect())
    }

    /// Returns the messages of an engine that tell whose they are.
    fn of(&self, engine: Engine) -> Vec<&Message> {
        let is_of =
            |message: &&Message| message.shape.engine == engine.id() && message.id().is_some();
        self.0.iter().filter(is_of).collect()
    }

    /// Returns the query of everything that was heard: `id`, `contract`, `time`, `kind` and `unit`.
    pub(super) fn heard_of(&self, engine: Engine) -> String {
        let parts: Vec<String> = self.of(engine).into_iter().filter_map(heard).collect();
        parts.join("\n    UNION ALL ")
    }

    /// Returns each table whose rows tell whose they are, with the expressions of the session and of the machine.
    pub(super) fn identities(&self) -> Vec<Identity> {
        let of = |message: &Message| Identity {
            table: message.table(),
            session: message.id(),
            machine: message.shape.machine.as_deref().map(uuid),
        };
        let tells = |one: &Identity| one.session.is_some() || one.machine.is_some();
        self.0.iter().map(of).filter(tells).collect()
    }
}

/// A table whose rows tell whose they are, by an expression of the session and of the machine.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) table: String,
    pub(super) session: Option<String>,
    pub(super) machine: Option<String>,
}

/// Returns the expression of an identity. A text that is no UUID, or is missing, gives the one of zeros.
fn uuid(field: &str) -> String {
    format!("toUUIDOrZero(coalesce({}, ''))", quote::column(field))
}

/// Returns the query of the sessions that are counted on a closed day.
pub(super) fn counted(day: i64) -> String {
    format!("SELECT session FROM usage_counted WHERE day = {day}")
}

/// The starts without identity, of which there is only a sum for each network.
fn unnamed(engine: Engine, day: i64) -> String {
    format!(
        "SELECT [toNullable(contract)], (key, origin), toFloat64(sum(count)), CAST([], 'Array(Float64)')
FROM usage_start WHERE day = {day} AND engine = {}
GROUP BY contract, key, origin
SETTINGS output_format_json_quote_64bit_integers = 0
FORMAT JSONCompactEachRow",
        quote::text(engine.id())
    )
}

/// A message that a server takes.
#[derive(Debug)]
struct Message {
    shape: Shape,
    spec: MessageSpec,
}

impl Message {
    /// Returns the expression of its session.
    fn id(&self) -> Option<String> {
        self.shape.id.as_deref().map(uuid)
    }

    fn table(&self) -> String {
        tables::table(&self.shape.contract, &self.shape.message)
    }

    /// Returns the time at which it counts, in milliseconds: the engine's if that is near, else that of receipt.
    fn time(&self) -> String {
        let received = "toUnixTimestamp64Milli(received)";
        let time = self.spec.fields.iter().find(|field| matches!(field.source, Source::Time));
        time.map_or_else(
            || received.to_owned(),
            |time| {
                let given = format!("intDiv({}, 1000000)", quote::column(&time.name));
                format!(
                    "if({given} BETWEEN {received} - 604800000 AND {received} + 600000, {given}, {received})"
                )
            },
        )
    }

    fn has(&self, field: &str) -> bool {
        self.spec.fields.iter().any(|one| one.name == field)
    }
}

fn heard(message: &Message) -> Option<String> {
    let id = message.id()?;
    let (kind, unit) = match &message.shape.kind {
        Kind::Beat => ("beat", "''".to_owned()),
        Kind::Start { .. } => ("start", "''".to_owned()),
        Kind::Other => ("other", "''".to_owned()),
        Kind::Interval { sequence, series } => {
            let parts: Vec<String> = series
                .iter()
                .chain([sequence])
                .map(|one| format!(", ' ', toString({})", quote::column(one)))
                .collect();
            let name = quote::text(&message.shape.message);
            ("interval", format!("concat({name}{})", parts.concat()))
        }
    };
    Some(format!(
        "SELECT {id} AS id, {} AS contract, {} AS time, '{kind}' AS kind, {unit} AS unit FROM {} FINAL WHERE {id} != toUUIDOrZero('')",
        quote::text(&message.shape.contract),
        message.time(),
        message.table(),
    ))
}

/// Returns a facet of each session: of two values the one that sorts first.
fn facet_of(messages: &[&Message], name: &str) -> String {
    let mut parts = Vec::new();
    for message in
        messages.iter().filter(|message| matches!(message.shape.kind, Kind::Start { .. }))
    {
        let field = FACETS.iter().find(|(field, facet)| *facet == name && message.has(field));
        if let (Some((field, _)), Some(id)) = (field, message.id()) {
            parts.push(format!(
                "SELECT {id} AS id, substringUTF8(toString({field}), 1, 200) AS word FROM {} FINAL WHERE {field} IS NOT NULL",
                message.table(),
            ));
        }
    }
    if parts.is_empty() {
        parts.push("SELECT toUUIDOrZero('') AS id, '' AS word".to_owned());
    }
    format!(
        "SELECT id, min(word) AS value FROM ({}) WHERE word != '' GROUP BY id",
        parts.join(" UNION ALL ")
    )
}

/// Returns what a number of LMCache says about each session on the day.
fn of_interval(messages: &[&Message], field: &str, day: i64, value: &str) -> String {
    let message = messages.iter().find(|message| message.has(field));
    let Some((message, id)) = message.and_then(|message| Some((message, message.id()?))) else {
        return "SELECT toUUIDOrZero('') AS id, NULL AS value".to_owned();
    };
    format!(
        "SELECT {id} AS id, {value} AS value FROM {} FINAL WHERE intDiv({}, 86400000) = {day} GROUP BY id",
        message.table(),
        message.time(),
    )
}

fn hits(messages: &[&Message], day: i64) -> String {
    // A sum of integers would wrap around where one client sends the largest.
    let (hit, stored) =
        ("sum(toFloat64(interval_num_hit_tokens))", "sum(toFloat64(interval_num_stored_tokens))");
    let value = format!(
        "multiIf({hit} + {stored} <= 0, 'no tokens', {hit} = 0, 'none', 4 * {hit} < {hit} + {stored}, \
        'below a quarter', 2 * {hit} < {hit} + {stored}, 'a quarter to a half', 'half and more')"
    );
    of_interval(messages, "interval_num_hit_tokens", day, &value)
}

fn cache_life(messages: &[&Message], day: i64) -> String {
    let life = "cache_lifespan_histogram";
    let sums = format!("sumMap(mapApply((bound, count) -> (bound, toFloat64(count)), {life}))");
    let bins = format!(
        "arraySort(bin -> bin.1, arrayZip(arrayMap(bound -> toInt64(bound), mapKeys({sums})), mapValues({sums})))"
    );
    let so_far = format!("arrayCumSum(bin -> bin.2, {bins})");
    let value = format!(
        "if({so_far}[-1] > 0, toString({bins}[arrayFirstIndex(n -> 2 * n >= {so_far}[-1], {so_far})].1), NULL)"
    );
    of_interval(messages, life, day, &value)
}

#[cfg(test)]
mod tests {
    use otel_usage_schema::{Field, Literal, Trigger, Type, resource};

    use super::*;

    #[test]
    fn a_contract_says_what_it_likes_and_a_query_stays_the_same() {
        let mut start = MessageSpec::new("own", "own", Trigger::Record);
        start = start.with_header(resource::FIELDS);
        let layers = Field::record("layers", Type::Int, "layers", "Layers.");
        start.fields.to_mut().push(layers.example(Literal::Int(32)));
        for field in start.fields.to_mut() {
            if matches!(field.source, Source::Time) {
                field.name = "time` of\\it".into();
            }
        }
        let own = Contract::new("vllm/it's\\", "vllm").with_message(start);
        let heard = Messages::new(&[own]).heard_of(Engine::Vllm);
        for expected in [
            r"'vllm/it\'s\\' AS contract",
            "toUUIDOrZero(coalesce(`instance_id`, ''))",
            r"intDiv(`time\` of\\it`, 1000000)",
        ] {
            assert!(heard.contains(expected), "{expected}: {heard}");
        }
    }
}
