//! Figures made by hand, for tests.

#![allow(clippy::arithmetic_side_effects, reason = "numbers of a test")]

use crate::questions::{Engine, Figure, Form, Report, Row};

fn row(label: &str, values: Vec<Option<f64>>) -> Row {
    Row { label: label.to_owned(), values }
}

fn days(count: i64) -> Vec<String> {
    let last = jiff::civil::date(2026, 11, 26);
    (0..count).rev().map(|ago| (last - jiff::Span::new().days(ago)).to_string()).collect()
}

/// A curve with a weekly dip, from `first` to `last`, rounded as published numbers are.
fn curve(count: i64, first: f64, last: f64) -> Vec<Option<f64>> {
    (0..count)
        .map(|day| {
            let (day, whole) = (day as f64, count as f64 - 1.0);
            let level = first + (last - first) * day / whole;
            let dip = if (day as i64) % 7 > 4 { 0.88 } else { 1.0 };
            Some((level * dip / 5.0).round() * 5.0)
        })
        .collect()
}

fn summed(rows: &[Row]) -> Vec<Option<f64>> {
    let columns = rows.first().map_or(0, |row| row.values.len());
    (0..columns).map(|column| rows.iter().map(|row| row.values[column]).sum()).collect()
}

fn figure(
    id: &'static str,
    title: &'static str,
    form: Form,
    columns: Vec<String>,
    rows: Vec<Row>,
) -> Figure {
    Figure {
        id,
        engine: Engine::Vllm,
        title,
        sentence: "Engines that were heard of in at least six ten-minute slots of a day, by what they report at \
                   their start.",
        denominator: "served engines of vLLM",
        unit: "engines",
        form,
        columns,
        totals: summed(&rows),
        rows,
    }
}

pub(super) fn lines(count: i64) -> Figure {
    let mut late = curve(count, 0.0, 640.0);
    late[..10].fill(None);
    late[14] = None;
    late[16] = None;
    let rows = vec![
        row("vLLM 0.26", curve(count, 2400.0, 1900.0)),
        row("vLLM 0.25", curve(count, 1500.0, 900.0)),
        row("vLLM 0.33", late),
        row("LMCache 0.5", curve(count, 420.0, 610.0)),
        row("other", curve(count, 700.0, 590.0)),
    ];
    figure("active", "Active engines", Form::Line, days(count), rows)
}

pub(super) fn stack(count: i64) -> Figure {
    let mut newest = curve(count, 1.0, 1400.0);
    newest[..6].fill(None);
    let rows = vec![
        row("0.26", curve(count, 2400.0, 900.0)),
        row("0.25", curve(count, 900.0, 700.0)),
        row("0.33", newest),
        row("0.24", curve(count, 600.0, 300.0)),
        row("0.23", curve(count, 300.0, 130.0)),
        row("0.11", curve(count, 200.0, 90.0)),
        row("0.7", curve(count, 80.0, 60.0)),
        row("0.4", curve(count, 60.0, 30.0)),
        row("other", curve(count, 200.0, 190.0)),
    ];
    figure("adoption", "Adoption of versions", Form::Stack, days(count), rows)
}

pub(super) fn bars() -> Figure {
    let named = [
        ("NVIDIA H100 80GB HBM3", 3420.0),
        ("NVIDIA H200", 1810.0),
        ("NVIDIA A100-SXM4-80GB", 1240.0),
        ("NVIDIA B200", 610.0),
        ("AMD Instinct MI300X", 305.0),
        ("NVIDIA L40S", 180.0),
        ("NVIDIA GeForce RTX 4090", 95.0),
        ("other", 420.0),
    ];
    let rows = named.map(|(label, engines)| row(label, vec![Some(engines)])).into();
    figure("accelerators", "Accelerators", Form::Bars, vec![String::new()], rows)
}

pub(super) fn shares() -> Figure {
    let named = [("torch.bfloat16", 71.0), ("torch.float16", 18.0), ("other", 11.0)];
    let rows = named.map(|(label, share)| row(label, vec![Some(share)])).into();
    Figure { unit: "%", ..figure("dtype", "Data type", Form::Bars, vec![String::new()], rows) }
}

pub(super) fn strip() -> Figure {
    let columns = ["10 min", "1 hour", "1 day", "7 days", "30 days"].map(str::to_owned).into();
    let rows = vec![
        row("vLLM", vec![Some(64.0), Some(41.0), Some(17.0), Some(6.2), None]),
        row("LMCache", vec![Some(88.0), Some(79.0), Some(52.0), Some(31.0), Some(12.0)]),
    ];
    let figure = figure("life", "Life of engines", Form::Strip, columns, rows);
    Figure { unit: "%", denominator: "engines that started", ..figure }
}

pub(super) fn report(count: i64) -> Report {
    let days = days(count);
    Report {
        generated: 1_795_867_500_000,
        headline: [
            "5,480 engines served on 26 November, 4% more than a week before.",
            "41% of them ran on NVIDIA H100 80GB HBM3.",
            "vLLM 0.33 reached half of the fleet in 19 days.",
            "71% computed in bfloat16, and 23% were quantized.",
            "17% of the engines that started lived for a day.",
            "38% of the requested tokens came from LMCache's caches.",
        ]
        .map(str::to_owned)
        .into(),
        figures: vec![lines(count), stack(count), bars(), shares(), strip()],
        days: (days[0].clone(), days[days.len() - 1].clone()),
        versions: ["0.33", "0.26", "0.25"].map(str::to_owned).into(),
    }
}
