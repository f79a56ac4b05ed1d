//! Numbers and days as people read them, and the ticks of an axis.

/// Writes a number with separators: `12,400`, `3.4`.
pub(crate) fn number(value: f64) -> String {
    let text = if value.abs() < 10.0 && value.fract() != 0.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    };
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = sign.to_owned();
    for (at, digit) in whole.char_indices() {
        if at > 0 && whole.len().saturating_sub(at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out.push_str(rest);
    out
}

/// Writes a value of a figure: `41%`, `12,400`.
pub(crate) fn value(value: f64, unit: &str) -> String {
    if unit == "%" { format!("{}%", number(value)) } else { number(value) }
}

/// Writes a day as `7 Nov`, and a number of days as `day 7`. Any other column keeps its name.
pub(crate) fn day(column: &str) -> String {
    if column.parse::<u32>().is_ok() {
        return format!("day {column}");
    }
    column
        .parse::<jiff::civil::Date>()
        .map_or_else(|_| column.to_owned(), |date| date.strftime("%-d %b").to_string())
}

/// An axis from zero, with at most five ticks.
#[derive(Debug, PartialEq)]
pub(super) struct Axis {
    pub(super) top: f64,
    pub(super) ticks: Vec<f64>,
}

impl Axis {
    /// Returns an axis for values up to `largest`, which ends at a tick.
    pub(super) fn up_to(largest: f64) -> Self {
        let largest = if largest > 0.0 { largest } else { 1.0 };
        let power = 10_f64.powf((largest / 4.0).log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * power)
            .find(|step| step * 4.0 >= largest * 0.999)
            .unwrap_or(largest / 4.0);
        let ticks: Vec<f64> = (0..=4)
            .map(|tick| f64::from(tick) * step)
            .take_while(|tick| *tick < largest + step * 0.999)
            .collect();
        Self { top: ticks.last().copied().unwrap_or(largest), ticks }
    }

    /// Returns the distance of `value` from the top, of `height`.
    pub(super) fn y(&self, value: f64, height: f64) -> f64 {
        height * (1.0 - value / self.top)
    }
}

/// Moves labels apart, so that `gap` lies between two neighbours. The labels are given and returned in the same order.
pub(super) fn apart(wanted: &[f64], gap: f64, height: f64) -> Vec<f64> {
    let mut order: Vec<(usize, f64)> = wanted.iter().copied().enumerate().collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    // Down, so that none covers the one above it; then up, so that the last one does not leave the plot.
    let mut least = f64::MIN;
    for (_, y) in &mut order {
        *y = y.max(least);
        least = *y + gap;
    }
    let mut most = height;
    for (_, y) in order.iter_mut().rev() {
        *y = y.min(most);
        most = *y - gap;
    }
    order.sort_by_key(|(index, _)| *index);
    order.into_iter().map(|(_, y)| y).collect()
}
