//! Tables of which one counts some of the engines of another. A reader can subtract them, so what is between them obeys
//! the rules too, or the smaller table is withheld.

use super::Engine;
use super::cube::{self, Cubes};
use super::rules::{Cell, Rules};
use super::support::Support;
use super::table::{Population, Table, table};

/// The classes of `life` whose engines have served.
const SERVED: [&str; 2] = ["an hour to a day", "a day and more"];

/// The counts of an engine's day: cells before the rules, by table.
pub(crate) type Today<'t> = [(&'t Table, Vec<Cell>)];

/// Returns whether a block of a table may be shown beside the other tables of the day and of the days before.
pub(crate) fn allows(
    cubes: &dyn Cubes,
    rules: &Rules,
    (of, block): (&Table, &Cell),
    (engine, day): (Engine, i64),
    today: &Today<'_>,
) -> anyhow::Result<bool> {
    match of.population {
        // Those that served and did not start today are the older ones.
        Population::Started => {
            let older = total(today, "versions", &|_| true)
                - total(today, "life", &|class| SERVED.contains(&class));
            Ok(rules.allow_difference(older))
        }
        Population::StartedBefore(days) => {
            // Those that are older still.
            let steady = total(today, "steady", &|class| class == "seven days and more");
            if !rules.allow_difference(steady - block.support.engines) {
                return Ok(false);
            }
            let start = day.saturating_sub(days);
            // Those that were lost since.
            let lived = lost(cubes, rules, ("life", SERVED[1]), (engine, start), block)?;
            let after = lost(cubes, rules, ("after-7", "engines"), (engine, start), block)?;
            Ok(lived == Some(true) && after != Some(false))
        }
        Population::Served | Population::Unnamed => Ok(true),
    }
}

/// Returns the engines of some cells of today.
fn total(today: &Today<'_>, id: &str, is: &dyn Fn(&str) -> bool) -> f64 {
    let cells = today.iter().filter(|(table, _)| table.id == id).flat_map(|(_, cells)| cells);
    let cells = cells.filter(|cell| is(cell.parent.as_deref().unwrap_or_default()));
    cells.map(|cell| cell.support.engines).sum()
}

/// Returns whether the engines that were lost since an earlier number of the same start obey the rules. `None` if no such
/// number was published. The networks of that number are erased, so its largest is a bound.
fn lost(
    cubes: &dyn Cubes,
    rules: &Rules,
    (earlier, cell): (&str, &str),
    (engine, start): (Engine, i64),
    block: &Cell,
) -> anyhow::Result<Option<bool>> {
    let Some(earlier) = table(earlier) else { return Ok(None) };
    let before = cube::supports(cubes, (earlier, ""), engine, (start, start), true)?;
    let Some(before) = before.get(&start).and_then(|cells| cells.get(cell)) else {
        return Ok(None);
    };
    let lost = before.engines - block.support.engines;
    if lost <= 0.0 {
        return Ok(Some(true));
    }
    let lost = Support::bounds(lost, vec![lost], before.origins(), vec![before.largest(0)]);
    Ok(Some(rules.allow(&lost)))
}
