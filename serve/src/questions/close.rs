//! Closes days: counts what the rows of a day say, applies the rules, and stores the answer with its verdict. Late
//! messages make numbered revisions.
//!
//! A revision adds the late engines as a table of their own that obeys the rules, and is not made before they do. So the
//! difference of two revisions is again a union of cells that each obey the rules.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::Engine;
use super::cube::{self, WEEK};
use super::days::{last_closed, monday};
use super::label::Label;
use super::rules::{Cell, Network, Rules, Support, publish, weights};
use super::source::{Group, Source, Sqlite, Which};
use super::table::{Population, Privacy, TABLES, Table, table};

/// The last closed day, in the table of the store's own numbers.
const CLOSED: &str = "closed";
/// Days after a day within which its messages are accepted, and its close. Then late engines are forgotten.
const LATEST: i64 = 10;

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Closed {
    /// Days that were closed.
    pub days: usize,
    /// Closed days whose published numbers were changed.
    pub revisions: usize,
}

/// Closes each day that ended 48 hours before `now`, and revises closed days. Does nothing if that is done already.
///
/// # Errors
///
/// If the database cannot be read or written.
pub fn close(connection: &Connection, rules: &Rules, now: i64) -> anyhow::Result<Closed> {
    let source = Sqlite(connection);
    let mut done = Closed::default();
    let first = match closed(connection)? {
        Some(day) => Some(day.saturating_add(1)),
        None => connection.query_row(
            "SELECT min(day) FROM (SELECT min(day) AS day FROM presence UNION SELECT min(day) FROM origin)",
            [],
            |row| row.get(0),
        )?,
    };
    for day in first.unwrap_or(i64::MAX)..=last_closed(now) {
        close_day(connection, &source, rules, day)?;
        done.days = done.days.saturating_add(1);
    }
    done.revisions = revise(connection, &source, rules, now)?;
    Ok(done)
}

/// Returns the last closed day.
pub(crate) fn closed(connection: &Connection) -> anyhow::Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    Ok(statement.query_row([CLOSED], |row| row.get(0)).optional()?)
}

fn close_day(
    connection: &Connection,
    source: &dyn Source,
    rules: &Rules,
    day: i64,
) -> anyhow::Result<()> {
    let (mut rows, mut started) = (Vec::new(), Vec::new());
    for engine in Engine::ALL {
        let mut counted = Counted::new(source, engine, day, Which::All);
        for table in TABLES.iter().filter(|table| table.engines.contains(&engine)) {
            let cells = counted.cells(table)?;
            let day = match table.population {
                Population::StartedBefore(days) => day.saturating_sub(days),
                _ => day,
            };
            let at = ((table, ""), (engine, day));
            let blocks = match table.privacy {
                Privacy::Closed => publish(rules, &cells),
                Privacy::FreeText => Vec::new(),
            };
            // What is published replaces a withheld cell of the same name, which is *other*.
            for cell in &cells {
                rows.extend(cube::rows(at.0, at.1, cell, false));
            }
            for block in blocks {
                if may_be_shown(connection, rules, table, (engine, day), &block)? {
                    rows.extend(cube::rows(at.0, at.1, &block, true));
                }
            }
        }
        let weights = counted.weights.remove(&Population::Started).unwrap_or_default();
        let less = weights.into_iter().filter(|(_, weight)| *weight < 1.0);
        started.extend(less.map(|(network, weight)| (engine, network, weight)));
    }
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    cube::write(connection, &rows, 0)?;
    keep_weights(connection, day, &started)?;
    if monday(day.saturating_add(1)) > day {
        close_week(connection, rules, monday(day))?;
    }
    connection.execute("DELETE FROM origin WHERE day = ?1", [day])?;
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
        params![CLOSED, day],
    )?;
    transaction.commit()?;
    Ok(())
}

/// Stores what the starts of a day count, as far as that is less than one.
fn keep_weights(
    connection: &Connection,
    day: i64,
    started: &[(Engine, Network, f64)],
) -> anyhow::Result<()> {
    connection.execute("DELETE FROM weight WHERE day < ?1", [day.saturating_sub(40)])?;
    let mut insert = connection.prepare_cached(
        "INSERT OR REPLACE INTO weight (session, day, weight)
        SELECT session.id, ?1, ?2 FROM origin JOIN session ON session.id = origin.session
        WHERE origin.day = ?1 AND origin.key = ?3 AND origin.origin = ?4
            AND session.first / 86400000 = ?1 AND session.engine = (SELECT id FROM word WHERE text = ?5)",
    )?;
    for (engine, (key, origin), weight) in started {
        insert.execute(params![day, weight, key, origin, engine.id()])?;
    }
    Ok(())
}

/// Returns whether the engines that were lost since their start obey the rules too, because a reader can subtract those
/// that are left from those that lived for a day. Their networks are erased, so the largest at the start is a bound.
fn may_be_shown(
    connection: &Connection,
    rules: &Rules,
    of: &Table,
    (engine, day): (Engine, i64),
    block: &Cell,
) -> anyhow::Result<bool> {
    if !matches!(of.population, Population::StartedBefore(_)) {
        return Ok(true);
    }
    let Some(life) = table("life") else { return Ok(false) };
    let started = cube::supports(connection, (life, ""), engine, (day, day), true)?;
    let Some(lived) = started.get(&day).and_then(|cells| cells.get("a day and more")) else {
        return Ok(false);
    };
    let lost = lived.engines - block.support.engines;
    let lost = Support::bounds(lost, vec![lost], lived.origins(), vec![lived.largest(0)]);
    Ok(rules.allow(&lost))
}

/// Publishes tables of free text for a week, from its closed days. A week of which a day is missing is not published,
/// because its numbers would be those of fewer days.
fn close_week(connection: &Connection, rules: &Rules, monday: i64) -> anyhow::Result<()> {
    let days = (monday, monday.saturating_add(6));
    for engine in Engine::ALL {
        for table in TABLES.iter().filter(|table| table.engines.contains(&engine)) {
            if table.privacy != Privacy::FreeText {
                continue;
            }
            let found = cube::supports(connection, (table, ""), engine, days, false)?;
            if found.len() < 7 {
                continue;
            }
            let cells = week(found.into_values());
            for block in publish(rules, &cells) {
                let rows = cube::rows((table, WEEK), (engine, monday), &block, true);
                cube::write(connection, &rows, 0)?;
            }
        }
    }
    Ok(())
}

/// Returns the mean of seven days. At least as many engines and networks stand behind a week as behind its best day.
pub(crate) fn week(days: impl Iterator<Item = BTreeMap<String, Support>>) -> Vec<Cell> {
    let mut cells: BTreeMap<String, (f64, Support)> = BTreeMap::new();
    for (name, support) in days.flatten() {
        let (engines, sum) = cells.entry(name).or_default();
        *engines = engines.max(support.engines);
        sum.join(&support);
    }
    let cell = |(name, (engines, sum)): (String, (f64, Support))| {
        let Label { parent, label } = cube::label(&name);
        Cell { parent, label, support: sum.mean_of_week(engines) }
    };
    cells.into_iter().map(cell).collect()
}

/// The counts of an engine's day, with the weights of its networks.
struct Counted<'s> {
    source: &'s dyn Source,
    engine: Engine,
    day: i64,
    which: Which,
    weights: BTreeMap<Population, BTreeMap<Network, f64>>,
}

impl<'s> Counted<'s> {
    const fn new(source: &'s dyn Source, engine: Engine, day: i64, which: Which) -> Self {
        Self { source, engine, day, which, weights: BTreeMap::new() }
    }

    fn cells(&mut self, table: &Table) -> anyhow::Result<Vec<Cell>> {
        let groups = self.source.groups(table, self.engine, self.day, self.which)?;
        let weights = self.weights.entry(table.population).or_insert_with(|| {
            // The start has decided what these count.
            let weighed = !matches!(table.population, Population::StartedBefore(_));
            if weighed { weigh(&groups) } else { BTreeMap::new() }
        });
        Ok(cells(table, &groups, weights))
    }
}

/// Returns what an engine of each network counts.
pub(crate) fn weigh(groups: &[Group]) -> BTreeMap<Network, f64> {
    let mut engines: BTreeMap<Network, f64> = BTreeMap::new();
    for group in groups {
        if let Some(network) = group.network {
            *engines.entry(network).or_default() += group.engines;
        }
    }
    weights(&engines)
}

/// Returns the cells of a table.
pub(crate) fn cells(
    table: &Table,
    groups: &[Group],
    weights: &BTreeMap<Network, f64>,
) -> Vec<Cell> {
    let mut cells: BTreeMap<Label, Support> = BTreeMap::new();
    for group in groups {
        let reported: Vec<Option<&str>> = group.reported.iter().map(Option::as_deref).collect();
        let label = (table.label)(&reported);
        let weight = group.network.and_then(|network| weights.get(&network)).copied();
        let weight = weight.unwrap_or(1.0);
        let amounts: Vec<f64> =
            [group.engines].iter().chain(&group.amounts).map(|amount| amount * weight).collect();
        cells.entry(label).or_default().add(group.network, group.engines * weight, &amounts);
    }
    cells
        .into_iter()
        .map(|(Label { parent, label }, support)| Cell { parent, label, support })
        .collect()
}

/// Adds late engines to closed days where they obey the rules. Returns the number of revisions.
fn revise(
    connection: &Connection,
    source: &dyn Source,
    rules: &Rules,
    now: i64,
) -> anyhow::Result<usize> {
    let Some(closed) = closed(connection)? else { return Ok(0) };
    let mut days =
        connection.prepare("SELECT DISTINCT day FROM origin WHERE day <= ?1 ORDER BY day")?;
    let days = days.query_map([closed], |row| row.get(0))?;
    let days: Vec<i64> = days.collect::<Result<_, _>>()?;
    let mut revisions = 0_usize;
    for day in days {
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        let mut revised = false;
        for engine in Engine::ALL {
            revised |= revise_engine(connection, source, rules, (engine, day), now)?;
        }
        if revised || day < last_closed(now).saturating_sub(LATEST) {
            connection.execute("DELETE FROM origin WHERE day = ?1", [day])?;
        }
        transaction.commit()?;
        revisions = revisions.saturating_add(usize::from(revised));
    }
    Ok(revisions)
}

fn revise_engine(
    connection: &Connection,
    source: &dyn Source,
    rules: &Rules,
    (engine, day): (Engine, i64),
    now: i64,
) -> anyhow::Result<bool> {
    let mut counted = Counted::new(source, engine, day, Which::Late);
    let mut changes = Vec::new();
    let mut late = 0.0;
    for table in TABLES.iter().filter(|table| table.engines.contains(&engine)) {
        if table.population != Population::Served {
            // The start of a late engine is told by a later day's numbers too; it is left out.
            continue;
        }
        let cells = counted.cells(table)?;
        let mut all = Support::default();
        cells.iter().for_each(|cell| all.join(&cell.support));
        if !rules.allow(&all) {
            return Ok(false);
        }
        late = all.engines;
        changes.push((table, cells));
    }
    let reason = format!("{:.0} engines of {} reported late", super::rounded(late), engine.title());
    connection.execute(
        "INSERT INTO revision (day, time, reason) VALUES (?1, ?2, ?3)",
        params![day, now, reason],
    )?;
    let number = connection.last_insert_rowid();
    for (table, cells) in changes {
        add(connection, rules, (table, engine, day), &cells, number)?;
    }
    Ok(true)
}

/// Adds late cells to a table of the cubes.
fn add(
    connection: &Connection,
    rules: &Rules,
    (table, engine, day): (&'static Table, Engine, i64),
    cells: &[Cell],
    number: i64,
) -> anyhow::Result<()> {
    let monday = monday(day);
    let week_is_closed = closed(connection)? >= Some(monday.saturating_add(6));
    let (grain, at, parts, published) = match table.privacy {
        Privacy::Closed => ("", day, 1.0, true),
        Privacy::FreeText if week_is_closed => (WEEK, monday, 7.0, true),
        // No number of the day is published, so the late engines are just counted.
        Privacy::FreeText => ("", day, 1.0, false),
    };
    let known = cube::supports(connection, (table, grain), engine, (at, at), published)?;
    let mut known = known.into_values().next().unwrap_or_default();
    if published && known.is_empty() {
        // The close withheld the whole table.
        return Ok(());
    }
    let cells = if published { publish(rules, &relabelled(cells, &known)) } else { cells.to_vec() };
    for Cell { parent, label, support } in cells {
        let name = cube::name(parent.as_deref(), label.as_deref());
        let mut all = known.remove(&name).unwrap_or_default();
        all.join(&support.divided(parts));
        let rows = cube::rows(
            (table, grain),
            (engine, at),
            &Cell { parent, label, support: all },
            published,
        );
        cube::write(connection, &rows, number)?;
    }
    Ok(())
}

/// Moves late engines to cells that were published at the close, because a revision opens no cell.
fn relabelled(cells: &[Cell], known: &BTreeMap<String, Support>) -> Vec<Cell> {
    let relabel = |cell: &Cell| {
        let has = |parent: &Option<String>, label: Option<&str>| {
            known.contains_key(&cube::name(parent.as_deref(), label))
        };
        let mut cell = cell.clone();
        if !has(&cell.parent, cell.label.as_deref()) {
            cell.label = None;
            if !has(&cell.parent, None) {
                cell.parent = None;
            }
        }
        cell
    };
    cells.iter().map(relabel).collect()
}

#[cfg(test)]
mod tests {
    use super::super::table::Key;
    use super::*;
    use crate::questions::{Filter, report};
    use crate::store::SCHEMA;

    /// A fleet of groups, which says the same about itself on every day.
    struct Simulated(Vec<(Vec<&'static str>, Network, f64)>);

    impl Source for Simulated {
        fn groups(
            &self,
            table: &Table,
            engine: Engine,
            _: i64,
            _: Which,
        ) -> anyhow::Result<Vec<Group>> {
            let whose = self.0.iter().filter(|_| engine == Engine::Vllm);
            let group = |(says, network, engines): &(Vec<&'static str>, Network, f64)| {
                let key = |key: &Key| match key {
                    Key::Facet("version") => says.get(1),
                    Key::Facet("accelerator" | "model_architecture") => says.get(2),
                    Key::Facet("provider") => says.get(3),
                    Key::Lived => says.get(4),
                    _ => None,
                };
                let keys = table.keys.iter().map(|one| key(one).map(|text| (*text).to_owned()));
                Group {
                    reported: [Some("vllm/current".to_owned())].into_iter().chain(keys).collect(),
                    network: Some(*network),
                    engines: *engines,
                    amounts: table.amounts.iter().map(|_| engines * 8.0).collect(),
                }
            };
            Ok(whose.map(group).collect())
        }
    }

    /// Shares in percent, by figure, row and column.
    type Shares = BTreeMap<(&'static str, String, usize), f64>;

    fn shares(fleet: &Simulated) -> Shares {
        const MONDAY: i64 = 20_003;
        let store = Connection::open_in_memory().unwrap();
        store.execute_batch(SCHEMA).unwrap();
        for day in MONDAY..MONDAY + 7 {
            close_day(&store, fleet, &Rules::default(), day).unwrap();
        }
        let now = (MONDAY + 9) * crate::store::time::DAY;
        let filter = Filter { share: true, ..Filter::default() };
        let mut shares = Shares::new();
        for figure in report(&store, &filter, now).unwrap().figures {
            for row in figure.rows {
                for (at, value) in row.values.iter().enumerate() {
                    if let Some(value) = value {
                        shares.insert((figure.id, row.label.clone(), at), *value);
                    }
                }
            }
        }
        shares
    }

    #[test]
    fn a_hundred_thousand_made_up_engines_of_ten_networks_move_no_share_by_a_point() {
        // Networks with one to sixty engines, of which the large ones prefer one accelerator.
        let honest = (0..4_000_i64).map(|n| {
            let engines = [1, 1, 2, 2, 3, 5, 8, 13, 60].get(n as usize * 7 % 9).copied().unwrap();
            let version =
                ["0.11.0", "0.11.2", "0.12.0", "0.10.1"].get(n as usize % 4).copied().unwrap();
            let device = if engines > 8 { "NVIDIA H100" } else { "NVIDIA A100" };
            let provider = if n % 3 == 0 { "AWS" } else { "UNKNOWN" };
            let lived = if n % 5 == 0 { "a day and more" } else { "less than 10 minutes" };
            (vec!["", version, device, provider, lived], (1, n), f64::from(engines))
        });
        let honest: Vec<_> = honest.collect();
        let flood = (0..10_i64).map(|n| {
            let says = vec!["", "9.9.9", "Made up", "RUNPOD", "an hour to a day"];
            (says, (1, 10_000 + n), 10_000.0)
        });
        let flooded = honest.iter().cloned().chain(flood).collect();
        let (calm, flooded) = (shares(&Simulated(honest)), shares(&Simulated(flooded)));
        assert!(calm.len() > 30, "{calm:?}");
        for at in calm.keys().chain(flooded.keys()) {
            let moved = calm.get(at).unwrap_or(&0.0) - flooded.get(at).unwrap_or(&0.0);
            assert!(moved.abs() < 1.0, "{at:?} moved by {moved} points");
        }
    }
}
