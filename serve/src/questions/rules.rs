//! The rules under which a number is published, as functions of numbers.
//!
//! A table is a partition: each engine stands behind one cell. A cell that fails the rule joins *other*, which obeys the same
//! rule, because the next smallest joins it until it does. So the total is the sum of the cells, and whatever a reader
//! subtracts is a union of cells that each obey the rule.

use std::collections::BTreeMap;

use super::support::Support;

/// The fewest engines behind a cell that a maintainer may set.
const LEAST_K: u32 = 10;

/// The conditions of a published cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Fewest served engines.
    k: f64,
    /// Fewest networks.
    origins: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self { k: 20.0, origins: 3 }
    }
}

impl Rules {
    /// Returns the rules with another number of engines.
    ///
    /// # Errors
    ///
    /// If `k` is below 10.
    pub fn with_k(k: u32) -> anyhow::Result<Self> {
        anyhow::ensure!(
            k >= LEAST_K,
            "--k {k} would publish numbers that stand for too few engines: give {LEAST_K} or more"
        );
        Ok(Self { k: f64::from(k), ..Self::default() })
    }

    /// Returns whether nothing is told by a number of engines that a reader may find by subtraction.
    pub(crate) fn allow_difference(&self, engines: f64) -> bool {
        engines <= 0.0 || engines >= self.k
    }

    /// Returns whether a cell with this support may be published: enough engines, enough networks, and none of them
    /// with more than half of any number that is shown.
    pub(crate) fn allow(&self, support: &Support) -> bool {
        support.engines >= self.k
            && support.origins() >= self.origins
            && (0..support.amounts.len())
                .all(|at| 2.0 * support.largest(at) <= support.amount(at).max(0.0))
    }
}

/// A row of a table before the rules. `parent` and `label` name it; `None` is what must not be named.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cell {
    pub(crate) parent: Option<String>,
    pub(crate) label: Option<String>,
    pub(crate) support: Support,
}

/// A row that is published. A label of `None` is *other*: of the table, or of its parent.
pub(crate) type Block = Cell;

/// Applies the rules to a table of two levels. Parents are decided first and then split, so that the sums over a
/// parent's rows are the rows of the table of parents: a coarse and a fine table must not be decided apart from each
/// other, because their difference would be a withheld cell.
///
/// Returns nothing if all engines together do not obey the rules.
pub(crate) fn publish(rules: &Rules, cells: &[Cell]) -> Vec<Block> {
    let mut parents: BTreeMap<Option<&str>, Support> = BTreeMap::new();
    for cell in cells {
        parents.entry(cell.parent.as_deref()).or_default().join(&cell.support);
    }
    let (kept, other) = fold(rules, parents);
    let mut blocks = Vec::new();
    for (parent, _) in kept {
        let mut labels: BTreeMap<Option<&str>, Support> = BTreeMap::new();
        for cell in cells.iter().filter(|cell| cell.parent.as_deref() == Some(parent)) {
            labels.entry(cell.label.as_deref()).or_default().join(&cell.support);
        }
        let (kept, other) = fold(rules, labels);
        let block = |label: Option<&str>, support| Block {
            parent: Some(parent.to_owned()),
            label: label.map(str::to_owned),
            support,
        };
        blocks.extend(kept.into_iter().map(|(label, support)| block(Some(label), support)));
        blocks.extend(other.map(|support| block(None, support)));
    }
    blocks.extend(other.map(|support| Block { parent: None, label: None, support }));
    blocks
}

/// Returns the cells that are named, and what the others are together.
fn fold<'a>(
    rules: &Rules,
    cells: BTreeMap<Option<&'a str>, Support>,
) -> (Vec<(&'a str, Support)>, Option<Support>) {
    let mut other: Option<Support> = None;
    let mut join = |support: &Support| other.get_or_insert_default().join(support);
    let mut kept = Vec::new();
    for (label, support) in cells {
        match label {
            Some(label) if rules.allow(&support) => kept.push((label, support)),
            _ => join(&support),
        }
    }
    // The smallest last.
    kept.sort_by(|(_, a), (_, b)| b.engines.total_cmp(&a.engines));
    while other.as_ref().is_some_and(|other| !rules.allow(other)) {
        let Some((_, support)) = kept.pop() else { return (Vec::new(), None) };
        other.get_or_insert_default().join(&support);
    }
    (kept, other)
}

/// Rounds a number that is published: to five below 1,000, to three digits above.
#[must_use]
pub fn rounded(value: f64) -> f64 {
    if value < 1_000.0 {
        return (value / 5.0).round() * 5.0;
    }
    let step = 10_f64.powf(value.log10().floor() - 2.0);
    (value / step).round() * step
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Some engines that report the same, from one network: parent, label, network, engines.
    type Alike = (u8, u8, i64, u32);

    fn fleet() -> impl Strategy<Value = Vec<Alike>> {
        vec((0..4_u8, 0..5_u8, 0..9_i64, 1..25_u32), 0..60)
    }

    /// Makes the cells. Parent 3 and label 4 must not be named.
    fn cells(fleet: &[Alike]) -> Vec<Cell> {
        let mut cells: BTreeMap<(u8, u8), Support> = BTreeMap::new();
        for (parent, label, network, engines) in fleet {
            // Every third network is told apart under another key.
            let network = (network % 3 / 2, *network);
            let engines = f64::from(*engines);
            let hours = engines * engines;
            cells.entry((*parent, *label)).or_default().add(
                Some(network),
                engines,
                &[engines, hours],
            );
        }
        let text = |n: u8, hidden| (n != hidden).then(|| n.to_string());
        cells
            .into_iter()
            .map(|((parent, label), support)| Cell {
                parent: text(parent, 3),
                label: text(label, 4),
                support,
            })
            .collect()
    }

    fn total<'a>(cells: impl IntoIterator<Item = &'a Cell>) -> Support {
        let mut total = Support::default();
        cells.into_iter().for_each(|cell| total.join(&cell.support));
        total
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// Whatever cells somebody subtracts from whatever total, what is left obeys the rules.
        #[test]
        fn subtracting_published_cells_reveals_no_small_cell(fleet in fleet(), mask in any::<u32>()) {
            let rules = Rules::default();
            let cells = cells(&fleet);
            let blocks = publish(&rules, &cells);
            let left: Vec<&Cell> =
                (0..).zip(&blocks).filter(|(n, _)| mask >> (n % 32) & 1 == 1).map(|(_, block)| block).collect();
            if !left.is_empty() {
                prop_assert!(rules.allow(&total(left.iter().copied())));
            }
            for block in &blocks {
                prop_assert!(rules.allow(&block.support), "{block:?}");
            }
            if !blocks.is_empty() {
                prop_assert_eq!(total(&blocks).engines, total(&cells).engines);
            }
        }

        /// The coarse table is the sum of the fine one, so the two cannot be subtracted.
        #[test]
        fn a_parent_is_the_sum_of_its_cells(fleet in fleet()) {
            let rules = Rules::default();
            let cells = cells(&fleet);
            for block in publish(&rules, &cells) {
                let Some(parent) = &block.parent else { continue };
                let all = total(cells.iter().filter(|cell| cell.parent.as_ref() == Some(parent)));
                let shown = publish(&rules, &cells);
                let shown = total(shown.iter().filter(|block| block.parent.as_ref() == Some(parent)));
                prop_assert_eq!(all.engines, shown.engines);
            }
        }

        #[test]
        fn a_cell_that_must_not_be_named_is_not_named(fleet in fleet()) {
            for block in publish(&Rules::default(), &cells(&fleet)) {
                prop_assert!(block.parent.as_deref() != Some("3") && block.label.as_deref() != Some("4"));
            }
        }

        /// Every published number is a multiple of five, or has three digits.
        #[test]
        fn a_rounded_number_is_near_and_coarse(value in prop_oneof![0.0..2_000.0, 0.0..1e12]) {
            let shown = rounded(value);
            prop_assert!((shown - value).abs() <= f64::max(2.5, value * 0.005 + 1e-6));
            prop_assert_eq!(rounded(shown), shown);
            if shown < 1_000.0 {
                prop_assert_eq!(shown % 5.0, 0.0);
            }
        }
    }

    #[test]
    fn a_cell_needs_engines_and_networks_of_which_none_has_more_than_half() {
        let support = |networks: &[f64]| {
            let mut support = Support::default();
            for (n, engines) in (0..).zip(networks) {
                support.add(Some((0, n)), *engines, &[*engines]);
            }
            support
        };
        let rules = Rules::default();
        assert!(rules.allow(&support(&[10.0, 5.0, 5.0])));
        assert!(!rules.allow(&support(&[9.0, 5.0, 5.0])), "19 engines");
        assert!(!rules.allow(&support(&[11.0, 5.0, 4.0])), "more than half");
        assert!(!rules.allow(&support(&[10.0, 10.0])), "two networks");
        let mut unknown = support(&[8.0, 8.0, 8.0]);
        unknown.add(None, 4.0, &[4.0]);
        assert!(rules.allow(&unknown));
        unknown.add(None, 4.5, &[4.5]);
        assert!(!rules.allow(&unknown), "the unknown may be of the largest");
        let mut twice = Support::default();
        for (key, network) in [(0, 1), (0, 2), (1, 1), (1, 2)] {
            twice.add(Some((key, network)), 10.0, &[10.0]);
        }
        assert!(!rules.allow(&twice), "two networks under two keys are perhaps the same");
        assert!(Rules::with_k(9).unwrap_err().to_string().contains("--k 9"));
        assert!(Rules::with_k(10).unwrap().allow(&support(&[4.0, 3.0, 3.0])));
    }
}
