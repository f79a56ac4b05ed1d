//! The six sentences above the figures, with numbers that a person would quote. A sentence whose number is not published
//! is left out, and one of the next takes its place.

use super::{Figure, Row};

/// How many are shown.
const SENTENCES: usize = 6;

/// Makes the sentences.
pub(crate) fn sentences(figures: &[Figure]) -> Vec<String> {
    let find = |id: &str| figures.iter().find(|figure| figure.id == id);
    let all = [
        served(find("vllm-versions"), find("lmcache-versions")),
        newest(find("vllm-adoption")),
        largest(find("vllm-accelerators"), "of vLLM’s engines run on", ""),
        largest(find("vllm-models"), "of vLLM’s engines serve", ", the most common architecture"),
        several(find("vllm-cluster")),
        survived(find("vllm-survival")),
        hits(find("lmcache-hit")),
        computes(find("vllm-dtype")),
        quantized(find("vllm-quantization")),
        cloud(find("vllm-provider")),
        steady(find("vllm-steady")),
        steady(find("lmcache-steady")),
    ];
    all.into_iter().flatten().take(SENTENCES).collect()
}

fn last(values: &[Option<f64>]) -> Option<(usize, f64)> {
    values.iter().enumerate().rev().find_map(|(at, value)| Some((at, (*value)?)))
}

fn served(vllm: Option<&Figure>, lmcache: Option<&Figure>) -> Option<String> {
    let count = |figure: Option<&Figure>| {
        let (at, count) = last(&figure?.totals)?;
        let day = figure?.columns.get(at)?.clone();
        Some((count, figure?.engine.title(), spoken(&day)))
    };
    let sentence = |(count, engine, day)| {
        let engines = if grouped(count) == "1" { "engine" } else { "engines" };
        format!("{} {engines} of {engine} served on {day}", grouped(count))
    };
    match (count(vllm), count(lmcache)) {
        (Some(vllm), Some((count, engine, _))) => {
            Some(format!("{}, and {} of {engine}.", sentence(vllm), grouped(count)))
        }
        (one, two) => one.or(two).map(|one| format!("{}.", sentence(one))),
    }
}

fn newest(figure: Option<&Figure>) -> Option<String> {
    // The newest version that has reached a tenth.
    let row =
        figure?.rows.iter().find(|row| last(&row.values).is_some_and(|(_, now)| now >= 10.0))?;
    let (days, share) = last(&row.values)?;
    let days = if days == 1 { "a day".to_owned() } else { format!("{days} days") };
    Some(format!(
        "{share:.0}% of vLLM’s engines ran version {} {days} after it first appeared.",
        row.label
    ))
}

/// Returns the share of a row of bars.
fn share(figure: &Figure, row: &Row) -> Option<f64> {
    let (value, total) = (row.values.first()?.as_ref()?, figure.totals.first()?.as_ref()?);
    (*total > 0.0).then(|| 100.0 * value / total)
}

fn named(figure: &Figure) -> impl Iterator<Item = &Row> {
    figure.rows.iter().filter(|row| !["other", "not reported"].contains(&row.label.as_str()))
}

fn largest(figure: Option<&Figure>, says: &str, tail: &str) -> Option<String> {
    let row = named(figure?).next()?;
    Some(format!("{:.0}% {says} {}{tail}.", share(figure?, row)?, row.label))
}

fn several(figure: Option<&Figure>) -> Option<String> {
    let one = figure?.rows.iter().find(|row| row.label == "1 device")?;
    Some(format!("{:.0}% of vLLM’s engines use one device only.", share(figure?, one)?))
}

fn survived(figure: Option<&Figure>) -> Option<String> {
    let row = figure?.rows.iter().find(|row| row.label == "an hour")?;
    let (at, share) = last(&row.values)?;
    let day = spoken(figure?.columns.get(at)?);
    Some(format!(
        "{share:.0}% of the engines of vLLM that started on {day} lived for an hour or more."
    ))
}

fn hits(figure: Option<&Figure>) -> Option<String> {
    let row = figure?.rows.iter().find(|row| row.label == "half and more")?;
    Some(format!(
        "{:.0}% of LMCache’s engines take half of their tokens or more from the cache.",
        share(figure?, row)?
    ))
}

fn computes(figure: Option<&Figure>) -> Option<String> {
    let row = named(figure?).next()?;
    let dtype = row.label.strip_prefix("torch.").unwrap_or(&row.label);
    Some(format!("{:.0}% of vLLM’s engines compute in {dtype}.", share(figure?, row)?))
}

fn quantized(figure: Option<&Figure>) -> Option<String> {
    let none = figure?.rows.iter().find(|row| row.label == "not reported")?;
    let share = 100.0 - share(figure?, none)?;
    (share >= 1.0).then(|| format!("{share:.0}% of vLLM’s engines serve a quantized model."))
}

/// Returns a row's share of the last day that has one.
fn last_share(figure: &Figure, row: &Row) -> Option<f64> {
    let (at, value) = last(&row.values)?;
    let total = figure.totals.get(at).copied().flatten()?;
    (total > 0.0).then(|| 100.0 * value / total)
}

fn cloud(figure: Option<&Figure>) -> Option<String> {
    let row = named(figure?).find(|row| row.label != "UNKNOWN")?;
    let share = last_share(figure?, row)?;
    Some(format!("{share:.0}% of vLLM’s engines say that they run on {}.", row.label))
}

fn steady(figure: Option<&Figure>) -> Option<String> {
    let row = figure?.rows.iter().find(|row| row.label == "seven days and more")?;
    let (share, engine) = (last_share(figure?, row)?, figure?.engine.title());
    Some(format!("{share:.0}% of {engine}’s engines have run for seven days or more."))
}

/// Returns a date as a person writes it.
fn spoken(date: &str) -> String {
    date.parse::<jiff::civil::Date>()
        .map_or_else(|_| date.to_owned(), |date| date.strftime("%-d %B %Y").to_string())
}

/// Returns a count with commas: `12,400`.
fn grouped(count: f64) -> String {
    let digits = format!("{count:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && digits.len().saturating_sub(at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_days_are_written_as_people_do() {
        assert_eq!(grouped(12_400.0), "12,400");
        assert_eq!(grouped(1_234_567.0), "1,234,567");
        assert_eq!(grouped(120.0), "120");
        assert_eq!(spoken("2026-11-08"), "8 November 2026");
    }
}
