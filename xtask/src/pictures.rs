//! Draws `docs/pictures/costs.svg` from the measured figures in `docs/project/performance.md`.
//!
//! The figures stand in one table of that page; the README repeats its rows, which a test compares.

use std::fmt::Write as _;

use anyhow::{Context as _, ensure};

use crate::tools;

const PAGE: &str = "docs/project/performance.md";
const PICTURE: &str = "docs/pictures/costs.svg";
/// The heading of the section whose first table holds the figures.
const HEADING: &str = "## Beside the originals";

// Pixels. The width is that of `docs/pictures/flow.svg`, so that both line up on one page.
const WIDTH: f64 = 940.0;
const LABELS: f64 = 200.0;
const COLUMN: f64 = 244.0;
/// Longest bar of a column; its value is written beside it.
const LONGEST: f64 = 150.0;
const HEAD: f64 = 88.0;
const ROW: f64 = 66.0;
const BAR: f64 = 18.0;

/// Colours, and those for a dark background.
const STYLE: &str = "
    .page { fill: #ffffff; stroke: #d0d7de; }
    .name { fill: #1f2328; font-size: 14px; font-weight: 600; }
    .note { fill: #424a53; font-size: 12px; }
    .python { fill: #8c959f; }
    .ours { fill: #0969da; }
    @media (prefers-color-scheme: dark) {
      .page { fill: #0d1117; stroke: #30363d; }
      .name { fill: #f0f6fc; }
      .note { fill: #c9d1d9; }
      .python { fill: #6e7681; }
      .ours { fill: #58a6ff; }
    }
";

/// Writes the picture, or with `check` fails if the file differs from the figures.
pub(crate) fn run(check: bool) -> anyhow::Result<()> {
    let root = tools::root()?;
    let page = std::fs::read_to_string(root.join(PAGE)).context(PAGE)?;
    let picture = draw(&table(&page)?)?;
    let path = root.join(PICTURE);
    if check {
        let current = std::fs::read_to_string(&path).context(PICTURE)?;
        ensure!(
            current == picture,
            "{PICTURE} differs from the figures in {PAGE}; run `cargo xtask pictures`"
        );
        println!("{PICTURE} shows the figures of {PAGE}");
        return Ok(());
    }
    std::fs::write(&path, picture).context(PICTURE)?;
    println!("{PICTURE}");
    Ok(())
}

/// Returns the cells of the first table below [`HEADING`]: its head first, without the line below it.
fn table(page: &str) -> anyhow::Result<Vec<Vec<&str>>> {
    let (_, section) = page.split_once(HEADING).with_context(|| format!("{PAGE}: no {HEADING}"))?;
    let rows: Vec<Vec<&str>> = section
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .filter(|line| !line.starts_with("| ---"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let columns = rows.first().map_or(0, Vec::len);
    ensure!(
        columns == 4 && rows.iter().all(|row| row.len() == columns),
        "{PAGE}: the table below {HEADING} needs an engine and three figures in each row"
    );
    Ok(rows)
}

/// Returns the two figures of a cell such as `20.3 s → 256 ms`, in milliseconds if they are times.
fn figures(cell: &str) -> anyhow::Result<[(f64, &str); 2]> {
    let (python, ours) = cell.split_once(" → ").with_context(|| format!("{cell}: no arrow"))?;
    Ok([(size(python)?, python), (size(ours)?, ours)])
}

fn size(figure: &str) -> anyhow::Result<f64> {
    let (number, unit) = figure.split_once(' ').unwrap_or((figure, ""));
    let number: f64 = number.parse().with_context(|| figure.to_owned())?;
    Ok(if unit == "s" { number * 1000.0 } else { number })
}

fn draw(rows: &[Vec<&str>]) -> anyhow::Result<String> {
    let (head, engines) = rows.split_first().context("a table")?;
    let height = HEAD + ROW * f64::from(u32::try_from(engines.len())?) + 12.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif\" role=\"img\">\n  \
         <title>What reporting costs an engine: Python client and otel-usage</title>\n  \
         <style>{STYLE}  </style>\n  \
         <rect class=\"page\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"8\"/>\n",
        WIDTH - 1.0,
        height - 1.0
    );
    for (x, class, name) in [(16.0, "python", "Python client"), (150.0, "ours", "otel-usage")] {
        bar(&mut svg, x, 18.0, 12.0, class)?;
        text(&mut svg, x + 20.0, 31.0, "note", name)?;
    }
    let mut y = HEAD;
    for engine in engines {
        text(&mut svg, 16.0, y + 24.0, "name", engine.first().context("an engine")?)?;
        y += ROW;
    }
    let mut x = LABELS;
    for column in 1..head.len() {
        text(&mut svg, x, HEAD - 16.0, "name", head.get(column).context("a head")?)?;
        let cells = engines.iter().filter_map(|row| row.get(column));
        let cells = cells.map(|cell| figures(cell)).collect::<anyhow::Result<Vec<_>>>()?;
        let largest = cells.iter().flatten().fold(f64::MIN_POSITIVE, |a, (b, _)| a.max(*b));
        let mut y = HEAD;
        for pair in &cells {
            for ((size, figure), (class, below)) in
                pair.iter().zip([("python", 0.0), ("ours", 22.0)])
            {
                // A bar of zero length cannot be seen, so it is one pixel long.
                let length = (size / largest * LONGEST).max(1.0);
                bar(&mut svg, x, y + below, length, class)?;
                text(&mut svg, x + length + 6.0, y + below + 13.5, "note", figure)?;
            }
            y += ROW;
        }
        x += COLUMN;
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

fn bar(svg: &mut String, x: f64, y: f64, length: f64, class: &str) -> std::fmt::Result {
    writeln!(
        svg,
        "  <rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{length:.1}\" height=\"{BAR}\"/>"
    )
}

fn text(svg: &mut String, x: f64, y: f64, class: &str, text: &str) -> std::fmt::Result {
    writeln!(svg, "  <text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>")
}
