//! Counts the rows of the store for one question and day.

use rusqlite::{Connection, params};

use super::Engine;

/// Engines that agree in what the question asks, from one network.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    /// The contract.
    pub(crate) contract: String,
    /// What the facet says, as reported.
    pub(crate) value: Option<String>,
    /// The number of engines.
    pub(crate) engines: i64,
}

/// Returns the served engines of a day by contract and reported version.
pub(crate) fn versions(
    connection: &Connection,
    engine: Engine,
    day: i64,
) -> anyhow::Result<Vec<Group>> {
    let mut statement = connection.prepare_cached(
        "SELECT contract.text, value.text, count(*)
        FROM presence
        JOIN session ON session.id = presence.session AND session.beats >= 6
        JOIN word contract ON contract.id = session.contract AND contract.text LIKE ?2 || '/%'
        LEFT JOIN facet ON facet.session = presence.session
            AND facet.name = (SELECT id FROM word WHERE text = 'version')
        LEFT JOIN word value ON value.id = facet.value
        WHERE presence.day = ?1
        GROUP BY 1, 2 ORDER BY 1, 2",
    )?;
    let rows = statement.query_map(params![day, engine.id()], |row| {
        Ok(Group { contract: row.get(0)?, value: row.get(1)?, engines: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
