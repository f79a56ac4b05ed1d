//! Days as numbers since 1970, as the store keeps them, and as dates.

/// Milliseconds of a day.
pub(crate) const DAY: i64 = 86_400_000;
/// How long after its end a day is closed: late messages of most outages have arrived by then.
pub(crate) const CLOSED_AFTER: i64 = 2 * DAY;

/// Returns the day of a time in milliseconds since 1970.
pub(crate) const fn day_of(millis: i64) -> i64 {
    millis.div_euclid(DAY)
}

/// Returns the last day that is to be closed at `now`.
pub(crate) const fn last_closed(now: i64) -> i64 {
    day_of(now.saturating_sub(CLOSED_AFTER)).saturating_sub(1)
}

/// Returns the Monday of a day's week.
pub(crate) const fn monday(day: i64) -> i64 {
    // Day 0 was a Thursday.
    day.saturating_sub(day.saturating_add(3).rem_euclid(7))
}

/// Returns the date as `2026-11-28`.
pub(crate) fn date(day: i64) -> String {
    civil(day).to_string()
}

fn civil(day: i64) -> jiff::civil::Date {
    let span = jiff::Span::new().try_days(day);
    let date = span.and_then(|span| jiff::civil::date(1970, 1, 1).checked_add(span));
    date.unwrap_or(jiff::civil::Date::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_closed_48_hours_after_its_end() {
        assert_eq!(date(20_785), "2026-11-28");
        // Saturday the 28th belongs to the week of Monday the 23rd.
        assert_eq!(date(monday(20_785)), "2026-11-23");
        assert_eq!(monday(monday(20_785)), monday(20_785));
        let end = 20_786 * DAY;
        assert_eq!(last_closed(end + CLOSED_AFTER), 20_785);
        assert_eq!(last_closed(end + CLOSED_AFTER - 1), 20_784);
    }
}
