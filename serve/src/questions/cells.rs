//! Makes cells of what a database counts: labels, and what engines of each network count.

use std::collections::BTreeMap;

use super::label::Label;
use super::rules::Cell;
use super::source::Group;
use super::support::Support;
use super::table::Table;
use super::weigh::Weights;

/// Labels of a table and day. Smaller ones are not told apart, because engines may make up as many names as they like,
/// and cubes are kept for ever.
const MOST: usize = 500;

/// Returns the cells of a table.
pub(crate) fn cells(table: &Table, groups: &[Group], weights: &Weights) -> Vec<Cell> {
    let mut cells: BTreeMap<Label, Support> = BTreeMap::new();
    for group in groups {
        let reported: Vec<Option<&str>> = group.reported.iter().map(Option::as_deref).collect();
        let label = (table.label)(&reported);
        let amounts: Vec<f64> = [group.engines]
            .iter()
            .chain(&group.amounts)
            .enumerate()
            .map(|(at, amount)| amount * weights.of(group.network, at))
            .collect();
        let engines = amounts.first().copied().unwrap_or(0.0);
        cells.entry(label).or_default().add(group.network, engines, &amounts);
    }
    let named = largest(cells);
    named
        .into_iter()
        .map(|(Label { parent, label }, support)| Cell { parent, label, support })
        .collect()
}

/// Joins all but the largest cells to those without a name.
fn largest(cells: BTreeMap<Label, Support>) -> BTreeMap<Label, Support> {
    if cells.len() <= MOST {
        return cells;
    }
    let mut sorted: Vec<(Label, Support)> = cells.into_iter().collect();
    sorted.sort_by(|(_, a), (_, b)| b.engines.total_cmp(&a.engines));
    let small = sorted.split_off(MOST);
    let mut named: BTreeMap<Label, Support> = sorted.into_iter().collect();
    for (label, support) in small {
        // A label without a text has its name in the parent.
        let parent = label.parent.filter(|_| label.label.as_deref() != Some(""));
        named.entry(Label { parent, label: None }).or_default().join(&support);
    }
    named
}

#[cfg(test)]
mod tests {
    use super::super::table::table;
    use super::*;

    #[test]
    fn names_that_engines_make_up_do_not_fill_the_cubes() {
        let group = |n: i64| Group {
            reported: vec![Some("vllm/current".to_owned()), Some(format!("Accelerator {n}"))],
            network: Some((1, n % 7)),
            engines: if n < 3 { 50.0 } else { 1.0 },
            amounts: vec![1.0, 1.0],
        };
        let groups: Vec<Group> = (0..5_000).map(group).collect();
        let cells = cells(table("accelerators").unwrap(), &groups, &Weights::default());
        assert_eq!(cells.len(), MOST + 1);
        assert!(cells.iter().any(|cell| cell.parent.as_deref() == Some("Accelerator 2")));
        let all: f64 = cells.iter().map(|cell| cell.support.engines).sum();
        assert_eq!(all, 150.0 + 4_997.0);
    }
}
