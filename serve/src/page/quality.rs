//! The quality: what was received and what was not counted, and which closed days were corrected.
//!
//! For the public these are sums over all contracts of days of which a count of engines is published, rounded, because
//! the number of messages of a rare contract, or of a day with few engines, would tell how few there are. Maintainers see
//! every counter.

use std::collections::BTreeMap;

use maud::{Markup, html};
use rusqlite::{Connection, OptionalExtension as _};

use super::address::To;
use super::plot::value;
use super::shell::{Shell, moment};
use crate::questions::{Engine, rounded, ten_networks};
use crate::store::{counters_of_all, time};

/// Days that are shown.
const DAYS: i64 = 28;

/// Points by which a share can be off at most.
const ANYTHING: f64 = 100.0;

/// Most messages of one process that are told to be missing. A client may number its messages as it likes.
const MISSING: i64 = 10_000;

/// The counters of a day, by name; for maintainers also by label.
#[derive(Debug, Default)]
pub(crate) struct Quality {
    days: BTreeMap<i64, BTreeMap<String, i64>>,
    labels: Vec<(String, String, i64)>,
    corrections: Vec<(i64, i64, i64, String)>,
    /// LMCache's numbered messages: how many arrived, and how many are missing between them. For maintainers.
    sequences: Option<(i64, i64)>,
    /// Servers beside this one whose messages are in the same ClickHouse.
    other_servers: i64,
    /// Rows that ClickHouse refused, by table, with one of the reasons. For maintainers.
    aside: Vec<(String, i64, String)>,
    /// For each engine the last day whose total is published, and by how many points ten networks can move a share of it.
    flood: Vec<(Engine, i64, f64)>,
}

pub(crate) fn read(connection: &Connection, now: i64, internal: bool) -> rusqlite::Result<Quality> {
    let today = time::day(now);
    // A day is closed 48 hours after its end.
    let last = if internal { today } else { today.saturating_sub(3) };
    let first = last.saturating_sub(DAYS).saturating_add(1);
    let mut quality = Quality::default();
    let (counters, other_servers) = counters_of_all(connection)?;
    quality.other_servers = other_servers;
    let mut days = connection.prepare(&format!(
        "SELECT day, name, SUM(count) FROM {counters} WHERE day BETWEEN ?1 AND ?2 AND (?3 OR day IN (
            SELECT day FROM cube WHERE question IN ('versions/engines', 'starts/engines')
                AND day BETWEEN ?1 AND ?2 AND published))
        GROUP BY day, name"
    ))?;
    let mut rows = days.query((first, last, internal))?;
    while let Some(row) = rows.next()? {
        let day = quality.days.entry(row.get(0)?).or_default();
        day.insert(row.get(1)?, row.get(2)?);
    }
    if internal {
        let mut labels = connection.prepare(&format!(
            "SELECT name, label, SUM(count) FROM {counters} WHERE day BETWEEN ?1 AND ?2 \
             GROUP BY name, label ORDER BY name, SUM(count) DESC LIMIT 500"
        ))?;
        let found =
            labels.query_map([first, last], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        quality.labels = found.collect::<Result<_, _>>()?;
        quality.aside = aside(connection)?;
        quality.sequences = Some(connection.query_row(
            "SELECT coalesce(SUM(arrived), 0), CAST(total(min(last - first + 1 - arrived, ?3)) AS INTEGER) FROM (
                 SELECT COUNT(*) AS arrived, CAST(MIN(sequence) AS REAL) AS first, MAX(sequence) AS last FROM interval
                 WHERE day BETWEEN ?1 AND ?2 GROUP BY session, message, series
             )",
            [first, last, MISSING],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?);
    }
    for engine in Engine::ALL {
        let total = "SELECT day, SUM(amount) FROM cube WHERE question = 'versions/engines' \
            AND contract = ?1 AND published GROUP BY day ORDER BY day DESC LIMIT 1";
        let found = connection.query_row(total, [engine.id()], |row| {
            Ok((engine, row.get(0)?, ten_networks(rounded(row.get(1)?))))
        });
        quality.flood.extend(found.optional()?);
    }
    let mut corrections = connection
        .prepare("SELECT number, day, time, reason FROM revision ORDER BY number DESC LIMIT 100")?;
    let found = corrections
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    quality.corrections = found.collect::<Result<_, _>>()?;
    Ok(quality)
}

/// Reads what ClickHouse refused.
fn aside(connection: &Connection) -> rusqlite::Result<Vec<(String, i64, String)>> {
    let exists = "SELECT count(*) FROM sqlite_schema WHERE name = 'aside'";
    let exists: i64 = connection.query_row(exists, [], |row| row.get(0))?;
    if exists == 0 {
        return Ok(Vec::new());
    }
    let tables = "SELECT name, count(*), min(why) FROM aside GROUP BY name ORDER BY count(*) DESC";
    let mut tables = connection.prepare(tables)?;
    tables.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
}

pub(crate) fn page(shell: &Shell, quality: &Quality) -> String {
    let markup = html! {
        div.intro {
            h1 { "How good the numbers are" }
            p {
                "The messages of the last " (DAYS) " days, and those of them that were not counted as they came."
                @if quality.other_servers > 0 {
                    " Sums over " (quality.other_servers.saturating_add(1)) " servers that receive."
                }
                @if !shell.internal { " Sums over all engines, rounded; a day appears when it is closed." }
            }
        }
        div.text {
            h2 { "Messages by day" }
            @if quality.days.is_empty() {
                p.empty { "No message of these days is counted yet." }
            } @else {
                (days(quality, shell.internal))
                (words())
            }
            @if shell.internal && !quality.labels.is_empty() {
                h2 { "By contract, message and reason" }
                div.scroll role="region" tabindex="0" aria-label="By contract, message and reason" {
                    table {
                        thead { tr { th scope="col" { "Counter" } th.text scope="col" { "Of" } th scope="col" { "Count" } } }
                        tbody {
                            @for (name, label, count) in &quality.labels {
                                tr { th scope="row" { (name) } td.text { (label) } td { (shown(*count, true)) } }
                            }
                        }
                    }
                }
            }
            @if !quality.aside.is_empty() {
                h2 { "Refused by ClickHouse" }
                p {
                    "Rows that wait in the file of this server for somebody to send them again or throw them away: see "
                    code { "/aside" } " of this listener."
                }
                ul {
                    @for (table, rows, why) in &quality.aside {
                        li { (shown(*rows, true)) " of " (table) ": " (why) }
                    }
                }
            }
            @if let Some((arrived, missing)) = quality.sequences {
                h2 { "Gaps" }
                p {
                    "LMCache numbers its messages. Of those of the last " (DAYS) " days, " (shown(arrived, true))
                    " arrived, and " (shown(missing, true)) " are missing between them."
                }
            }
            @if !quality.flood.is_empty() {
                h2 { "Made-up engines" }
                p {
                    "Anybody can report engines that do not exist. Those of ten networks can change only so much, "
                    "because each network counts as so many engines at most:"
                }
                ul {
                    @for (engine, day, points) in &quality.flood {
                        li {
                            (engine.title()) ", " (date(*day)) ": "
                            @if *points < ANYTHING {
                                "no share is off by more than " b { (format!("{points:.1}")) } " points."
                            } @else {
                                "so few engines are counted that any share may be wrong."
                            }
                        }
                    }
                }
            }
            h2 { "Corrections of closed days" }
            @if quality.corrections.is_empty() {
                p.empty { "No closed day was corrected." }
            } @else {
                p {
                    "Late engines count as on any other day: those of one network only up to a bound. So the number that they "
                    "are counted as may be lower than the number of them."
                }
                div.scroll role="region" tabindex="0" aria-label="Corrections of closed days" {
                    table {
                        thead { tr { @for head in ["Number", "Day", "Made", "Reason"] { th scope="col" { (head) } } } }
                        tbody {
                            @for (number, day, time, reason) in &quality.corrections {
                                tr {
                                    th scope="row" { (number) }
                                    td { (date(*day)) }
                                    td { (moment(*time)) }
                                    td.text { (reason) }
                                }
                            }
                        }
                    }
                }
            }
        }
    };
    shell.page(&To::Quality, "Quality – usage of inference engines", &markup)
}

/// The counters, and what each means.
const COUNTERS: [(&str, &str, &str); 4] = [
    ("received", "Received", "Messages that were taken and kept."),
    (
        "refused",
        "Refused",
        "Requests and messages that were not kept: unreadable, unrecognised, too large, too many, or refused by ClickHouse.",
    ),
    (
        "skewed",
        "Skewed",
        "Messages whose own clock was too far from this server's, so that their arrival counts.",
    ),
    ("unknown_key", "Unknown keys", "Keys that no contract has. They are thrown away."),
];

fn days(quality: &Quality, exact: bool) -> Markup {
    html! {
        div.scroll role="region" tabindex="0" aria-label="Messages by day" {
            table {
                thead {
                    tr { th scope="col" { "Day" } @for (_, title, _) in COUNTERS { th scope="col" { (title) } } }
                }
                tbody {
                    @for (day, counts) in quality.days.iter().rev() {
                        tr {
                            th scope="row" { (date(*day)) }
                            @for (name, ..) in COUNTERS { td { (shown(counts.get(name).copied().unwrap_or(0), exact)) } }
                        }
                    }
                }
            }
        }
    }
}

fn words() -> Markup {
    html! {
        dl { @for (_, title, meaning) in COUNTERS { dt { (title) } dd { (meaning) } } }
    }
}

/// Rounds a count of messages for the public: to two digits, and not below what a few engines send in a day.
fn shown(count: i64, exact: bool) -> String {
    if !exact && (1..1_000).contains(&count) {
        return "under 1,000".to_owned();
    }
    let mut step = if exact { 1_i64 } else { 100 };
    while !exact && count.div_euclid(step) >= 100 {
        step = step.saturating_mul(10);
    }
    let rounded = count.saturating_add(step.div_euclid(2)).div_euclid(step).saturating_mul(step);
    #[expect(clippy::cast_precision_loss, reason = "a count of messages")]
    value(rounded as f64, "")
}

fn date(day: i64) -> String {
    time::date(day).map(|date| date.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_at(now: i64, internal: bool) -> String {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("../store/schema.sql")).unwrap();
        connection
            .execute_batch(
                "INSERT INTO quality VALUES (100, 'received', 'vllm/current report', 123456);
                 INSERT INTO quality VALUES (100, 'received', 'vllm/0.4.0 report', 1);
                 INSERT INTO quality VALUES (100, 'skewed', 'vllm/current', 3);
                 INSERT INTO quality VALUES (99, 'received', 'vllm/current report', 555000);
                 INSERT INTO quality VALUES (102, 'received', 'vllm/current report', 777);
                 INSERT INTO cube VALUES ('versions/engines', 100, 'vllm', 'other', 2700, 2700, 99, 9, 1, 0),
                    ('versions/engines', 100, 'lmcache', 'other', 60, 60, 99, 9, 1, 0);
                 INSERT INTO interval VALUES (1, 1, 1, 3, 101, '{}'), (1, 1, 1, 7, 102, '{}'), (2, 1, 1, 5, 102, '{}');
                 INSERT INTO revision VALUES (1, 100, 8900000000, 'late messages');",
            )
            .unwrap();
        let shell = Shell { site: super::super::address::Site::Served, internal, now };
        page(&shell, &read(&connection, now, internal).unwrap())
    }

    #[test]
    fn the_public_sees_rounded_sums_of_closed_days_only() {
        let public = read_at(103 * time::DAY, false);
        assert!(public.contains("120,000") && !public.contains("123,45"), "{public}");
        assert!(!public.contains("vllm/0.4.0") && !public.contains("777"), "{public}");
        assert!(public.contains("late messages") && public.contains("under 1,000"), "{public}");
        // Of the day before no count of engines is published.
        assert!(!public.contains("560,000") && !public.contains("555,000"), "{public}");
        assert!(public.contains("no share is off by more than <b>10.0</b> points"), "{public}");
        assert!(
            public.contains("LMCache, 1970-04-11: so few engines are counted that any share"),
            "{public}"
        );
    }

    #[test]
    fn maintainers_see_every_counter_at_once() {
        let internal = read_at(102 * time::DAY + 1, true);
        for part in ["3 arrived, and 3 are missing", "123,457", "vllm/0.4.0 report", "777"] {
            assert!(internal.contains(part), "{part}: {internal}");
        }
    }
}
