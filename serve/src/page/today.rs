//! The engines that were heard of in the last days, for maintainers: also those that have just started and are in no figure yet.

use maud::{Markup, html};
use rusqlite::Connection;

use crate::store::{counters_of_all, time};

/// Days that are shown.
const DAYS: i64 = 7;
/// Rows that are shown.
const ROWS: i64 = 50;

/// The engines of a contract and version.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    contract: String,
    version: String,
    /// Engines that were heard of.
    engines: i64,
    /// Those of them that are served, so that figures count them.
    served: i64,
    /// Starts that name no engine.
    starts: i64,
}

/// Reads what was heard of up to `now`.
pub(crate) fn read(connection: &Connection, now: i64) -> rusqlite::Result<Vec<Heard>> {
    let first = time::day(now).saturating_sub(DAYS).saturating_add(1);
    let (counters, _) = counters_of_all(connection)?;
    let mut select = connection.prepare_cached(&format!(
        "SELECT contract.text, coalesce(version.text, ''), count(*), sum(beats >= 6), 0
            FROM session JOIN word contract ON contract.id = session.contract
            LEFT JOIN facet ON facet.session = session.id
                AND facet.name = (SELECT id FROM word WHERE text = 'version')
            LEFT JOIN word version ON version.id = facet.value
            WHERE session.last >= ?1 * 86400000 GROUP BY 1, 2
        UNION ALL SELECT label, '', 0, 0, sum(count) FROM {counters} WHERE name = 'start' AND day >= ?1 GROUP BY label
        ORDER BY 3 DESC, 1, 2 LIMIT ?2"
    ))?;
    let row = |row: &rusqlite::Row<'_>| {
        Ok(Heard {
            contract: row.get(0)?,
            version: row.get(1)?,
            engines: row.get(2)?,
            served: row.get(3)?,
            starts: row.get(4)?,
        })
    };
    select.query_map((first, ROWS), row)?.collect()
}

pub(crate) fn section(heard: &[Heard]) -> Markup {
    if heard.is_empty() {
        return html! {};
    }
    html! {
        div.text {
            h2 { "Heard of in the last " (DAYS) " days" }
            p {
                "A figure below counts an engine once it is served: heard of in six slots of ten minutes, or by six "
                "messages at intervals. Starts are those of clients whose messages name no engine."
            }
            div.scroll role="region" tabindex="0" aria-label="Heard of" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Contract" }
                            th.text scope="col" { "Version" }
                            @for head in ["Engines", "Served", "Starts"] { th scope="col" { (head) } }
                        }
                    }
                    tbody {
                        @for one in heard {
                            tr {
                                th scope="row" { (one.contract) }
                                td.text { @if one.version.is_empty() { "–" } @else { (one.version) } }
                                @for count in [one.engines, one.served, one.starts] { td { (count) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_has_just_started_is_shown() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("../store/schema.sql")).unwrap();
        let now = 100 * time::DAY;
        connection
            .execute_batch(
                "INSERT INTO word VALUES (1, 'vllm'), (2, 'vllm/current'), (3, 'version'), (4, '<1>');
                 INSERT INTO session (id, uuid, engine, contract, first, last, beats) VALUES
                    (1, x'01', 1, 2, 8640000000, 8640000000, 0), (2, x'02', 1, 2, 8640000000, 8640000000, 6),
                    (3, x'03', 1, 2, 0, 8035199999, 9);
                 INSERT INTO facet VALUES (1, 3, 4), (2, 3, 4);
                 INSERT INTO quality VALUES (94, 'start', 'lmcache/doc', 2), (93, 'start', 'lmcache/doc', 7);",
            )
            .unwrap();
        let of = |contract: &str, version: &str, [engines, served, starts]: [i64; 3]| Heard {
            contract: contract.to_owned(),
            version: version.to_owned(),
            engines,
            served,
            starts,
        };
        let expected = [of("vllm/current", "<1>", [2, 1, 0]), of("lmcache/doc", "", [0, 0, 2])];
        let heard = read(&connection, now).unwrap();
        assert_eq!(heard, expected);
        let shown = section(&heard).into_string();
        assert!(
            shown.contains("<td class=\"text\">&lt;1&gt;</td><td>2</td><td>1</td><td>0</td>"),
            "{shown}"
        );
    }
}
