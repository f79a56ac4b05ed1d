//! Makes a figure of published numbers. Whatever is done here uses numbers that anybody could read, so it reveals
//! nothing more.

use std::collections::BTreeMap;

use super::cube;
use super::days::date;
use super::numbers::{Numbers, Values};
use super::question::{Question, Shows};
use super::table::{Table, table};
use super::{Figure, Filter, Form, Row};

/// Rows that a figure names. Smaller ones are under *other*.
const ROWS: usize = 15;
/// The row of everything that is not named.
pub(crate) const OTHER: &str = "other";

/// Answers a question for the days from `days.0` to `days.1`.
pub(crate) fn figure(
    numbers: &dyn Numbers,
    question: &Question,
    days: (i64, i64),
) -> anyhow::Result<Figure> {
    let mut figure = Figure {
        id: question.id,
        engine: question.engine,
        title: question.title,
        sentence: question.sentence,
        denominator: question.denominator,
        unit: question.unit,
        form: question.form,
        columns: Vec::new(),
        rows: Vec::new(),
        totals: Vec::new(),
    };
    let Some(table) = table(question.table) else { return Ok(figure) };
    let columns = numbers.columns(table, days);
    match question.shows {
        Shows::Cells(measure) => {
            let values = numbers.values(table, question.engine, measure, &columns)?;
            fill(&mut figure, numbers, labelled(&values, title), &columns);
        }
        Shows::Parents => {
            let values = numbers.values(table, question.engine, "engines", &columns)?;
            let parent = |name: &str| cube::label(name).parent.unwrap_or_else(|| OTHER.to_owned());
            fill(&mut figure, numbers, labelled(&values, parent), &columns);
        }
        Shows::Adoption => adoption(&mut figure, numbers, (question, table), days)?,
        Shows::Survival => survival(&mut figure, numbers, (question, table), days)?,
    }
    Ok(figure)
}

/// Returns the label of a cell for people.
fn title(name: &str) -> String {
    match name.split_once(" / ") {
        Some((parent, label)) => format!("{label} ({parent})"),
        None => name.to_owned(),
    }
}

/// Sums values under new labels.
fn labelled(values: &Values, label: impl Fn(&str) -> String) -> Values {
    let mut sums = Values::new();
    for (name, days) in values {
        let row = sums.entry(label(name)).or_default();
        for (day, value) in days {
            *row.entry(*day).or_default() += value;
        }
    }
    sums
}

/// Fills a figure with a row for each cell.
fn fill(figure: &mut Figure, numbers: &dyn Numbers, values: Values, days: &[i64]) {
    if matches!(figure.form, Form::Bars) {
        // The mean of the days of which anything is published.
        let with_any = days.iter().filter(|day| values.values().any(|row| row.contains_key(day)));
        let count = f64::from(u32::try_from(with_any.count()).unwrap_or(u32::MAX)).max(1.0);
        figure.columns = vec![String::new()];
        figure.rows = values
            .into_iter()
            .map(|(label, row)| {
                let mean = numbers.shown(row.values().sum::<f64>() / count);
                Row { label, values: vec![Some(mean)] }
            })
            .collect();
    } else {
        let absent = numbers.absent();
        figure.columns = days.iter().map(|day| date(*day)).collect();
        figure.rows = values
            .into_iter()
            .map(|(label, row)| Row {
                label,
                values: days.iter().map(|day| row.get(day).copied().or(absent)).collect(),
            })
            .collect();
    }
    arrange(figure);
}

/// Puts the largest first, then what has no name within a contract, and *other* last; joins what is too small to name, and
/// sums the columns.
fn arrange(figure: &mut Figure) {
    let weight = |row: &Row| row.values.iter().flatten().sum::<f64>();
    let (mut other, mut rows): (Vec<Row>, Vec<Row>) =
        std::mem::take(&mut figure.rows).into_iter().partition(|row| row.label == OTHER);
    let is_rest = |row: &Row| row.label.starts_with("other (");
    rows.sort_by(|a, b| {
        let smaller = || weight(b).total_cmp(&weight(a)).then_with(|| a.label.cmp(&b.label));
        is_rest(a).cmp(&is_rest(b)).then_with(smaller)
    });
    other.extend(rows.split_off(rows.len().min(ROWS)));
    if !other.is_empty() {
        let values = sums(&other, figure.columns.len());
        rows.push(Row { label: OTHER.to_owned(), values });
    }
    figure.totals = sums(&rows, figure.columns.len());
    figure.rows = rows;
}

/// Returns the sum of each column. A column without any number has none.
fn sums(rows: &[Row], columns: usize) -> Vec<Option<f64>> {
    let column = |at: usize| {
        let values = rows.iter().filter_map(|row| row.values.get(at).copied().flatten());
        values.fold(None, |sum: Option<f64>, value| Some(sum.unwrap_or(0.0) + value))
    };
    (0..columns).map(column).collect()
}

/// Fills a figure with the shares of versions by days since each was first published.
fn adoption(
    figure: &mut Figure,
    numbers: &dyn Numbers,
    (question, table): (&Question, &Table),
    (first, last): (i64, i64),
) -> anyhow::Result<()> {
    // A version may have appeared long before the window.
    let columns = numbers.columns(table, (last.saturating_sub(364).min(first), last));
    let values = numbers.values(table, question.engine, "engines", &columns)?;
    let minor = |name: &str| cube::label(name).label.unwrap_or_else(|| OTHER.to_owned());
    let values = labelled(&values, minor);
    let mut totals: BTreeMap<i64, f64> = BTreeMap::new();
    for (day, value) in values.values().flatten() {
        *totals.entry(*day).or_default() += value;
    }
    let begin = totals.keys().next().copied().unwrap_or(last);
    let length = last.saturating_sub(first).saturating_add(1);
    figure.columns = (0..length).map(|day| day.to_string()).collect();
    for (label, row) in values {
        let Some(appeared) = row.keys().next().copied() else { continue };
        let is_version = label.starts_with(|c: char| c.is_ascii_digit());
        if !is_version || appeared == begin {
            continue;
        }
        let share = |since: i64| {
            let day = appeared.saturating_add(since);
            let total = totals.get(&day)?;
            row.get(&day).map(|value| percent(*value, *total))
        };
        figure.rows.push(Row { label, values: (0..length).map(share).collect() });
    }
    figure.rows.sort_by_key(|row| std::cmp::Reverse(version(&row.label)));
    figure.rows.truncate(ROWS);
    figure.totals = vec![None; figure.columns.len()];
    Ok(())
}

/// Returns a version as numbers, so that 0.10 is after 0.9.
pub(crate) fn version(text: &str) -> Vec<u32> {
    text.split('.').filter_map(|part| part.parse().ok()).collect()
}

/// Fills a figure with the shares of the starts of a day that were heard of so much later.
fn survival(
    figure: &mut Figure,
    numbers: &dyn Numbers,
    (question, life): (&Question, &Table),
    days: (i64, i64),
) -> anyhow::Result<()> {
    /// Each class, the time that its engines did not reach, and the days after a day until all of its engines could.
    const CLASSES: [(&str, &str, i64); 4] = [
        ("less than 10 minutes", "10 minutes", 0),
        ("10 minutes to an hour", "an hour", 0),
        ("an hour to a day", "a day", 1),
        ("a day and more", "", 0),
    ];
    let columns = numbers.columns(life, days);
    let started = numbers.values(life, question.engine, "engines", &columns)?;
    let at = |class: &str, day: i64| started.get(class).and_then(|row| row.get(&day)).copied();
    let total = |day: i64| {
        let total: f64 = started.values().filter_map(|row| row.get(&day)).sum();
        (total > 0.0).then_some(total)
    };
    // The classes without a number of their own are under *other*, if there is one. Where all of them are on one side of
    // a time, it is known how many engines lived so long.
    let longer = |than: usize, day: i64| {
        let (shorter, longer) = CLASSES.split_at_checked(than.saturating_add(1))?;
        // The sum of nothing is a negative zero.
        let named = longer.iter().filter_map(|(class, ..)| at(class, day)).sum::<f64>() + 0.0;
        let all_named = |classes: &[(&str, &str, i64)]| {
            classes.iter().all(|(class, ..)| at(class, day).is_some())
        };
        match at(OTHER, day) {
            None => Some(named),
            Some(other) if all_named(shorter) => Some(named + other),
            Some(_) if all_named(longer) => Some(named),
            Some(_) => None,
        }
    };
    for (n, (_, label, later)) in CLASSES.iter().enumerate().take(3) {
        let share = |day: &i64| {
            // An engine that has just started may live longer.
            let known = numbers.is_over(*day, *later, days.1).then(|| longer(n, *day))?;
            Some(percent(known?, total(*day)?))
        };
        let values = columns.iter().map(share).collect();
        figure.rows.push(Row { label: (*label).to_owned(), values });
    }
    for (id, label) in [("after-7", "7 days"), ("after-30", "30 days")] {
        let Some(after) = table(id) else { continue };
        let left = numbers.values(after, question.engine, "engines", &columns)?;
        let left = labelled(&left, |_| String::new()).into_values().next().unwrap_or_default();
        let share = |day: &i64| Some(percent(left.get(day).copied()?, total(*day)?).min(100.0));
        let values = columns.iter().map(share).collect();
        figure.rows.push(Row { label: label.to_owned(), values });
    }
    figure.columns = columns.iter().map(|day| date(*day)).collect();
    figure.totals = vec![None; figure.columns.len()];
    if figure.rows.iter().all(|row| row.values.iter().all(Option::is_none)) {
        figure.rows.clear();
    }
    Ok(())
}

/// Returns a share in percent, to a tenth.
pub(crate) fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { (1_000.0 * part / whole).round() / 10.0 } else { 0.0 }
}

/// Returns the versions that figures name, the newest first.
pub(crate) fn versions(figures: &[Figure]) -> Vec<String> {
    let rows = figures.iter().filter(|figure| figure.id.ends_with("-versions"));
    let labels = rows.flat_map(|figure| &figure.rows).filter_map(|row| {
        let (version, _) = row.label.split_once(' ')?;
        version.starts_with(|c: char| c.is_ascii_digit()).then(|| version.to_owned())
    });
    let mut versions: Vec<String> = labels.collect();
    versions.sort_by_key(|text| std::cmp::Reverse(version(text)));
    versions.dedup();
    versions
}

/// Turns counts into shares, and leaves the rows of one version, as a filter says.
pub(crate) fn filtered(mut figure: Figure, filter: &Filter) -> Figure {
    if filter.share && figure.unit != "%" {
        figure.unit = "%";
        for row in &mut figure.rows {
            for (value, total) in row.values.iter_mut().zip(&figure.totals) {
                *value = value.zip(*total).map(|(value, total)| percent(value, total));
            }
        }
        figure.totals = sums(&figure.rows, figure.columns.len());
    }
    if let Some(version) = &filter.version {
        figure.rows.retain(|row| row.label.split(' ').next() == Some(version));
        if !figure.id.ends_with("-adoption") {
            figure.totals = sums(&figure.rows, figure.columns.len());
        }
    }
    figure
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::questions::Engine;

    #[test]
    fn what_has_no_name_is_last_however_large_it_is() {
        let row = |(label, value): &(&str, f64)| Row {
            label: (*label).to_owned(),
            values: vec![Some(*value)],
        };
        let rows = [
            ("other (vllm/current)", 900.0),
            ("0.30 (vllm/current)", 60.0),
            ("other", 500.0),
            ("0.33 (vllm/current)", 300.0),
        ];
        let mut figure = Figure {
            id: "vllm-versions",
            engine: Engine::Vllm,
            title: "",
            sentence: "",
            denominator: "",
            unit: "engines",
            form: Form::Stack,
            columns: vec!["2026-11-28".to_owned()],
            rows: rows.iter().map(row).collect(),
            totals: Vec::new(),
        };
        arrange(&mut figure);
        let labels: Vec<&str> = figure.rows.iter().map(|row| row.label.as_str()).collect();
        let expected =
            ["0.33 (vllm/current)", "0.30 (vllm/current)", "other (vllm/current)", "other"];
        assert_eq!(labels, expected);
        assert_eq!(figure.totals, [Some(1_760.0)]);
    }
}
