//! Days as numbers since 1970, as the store keeps them, and as dates.

use crate::store::time;

/// Returns the last day that is to be closed at `now`.
pub(crate) const fn last_closed(now: i64) -> i64 {
    time::first_open(now).saturating_sub(1)
}

/// Returns the Monday of a day's week.
pub(crate) const fn monday(day: i64) -> i64 {
    // Day 0 was a Thursday.
    day.saturating_sub(day.saturating_add(3).rem_euclid(7))
}

/// Returns the date as `2026-11-28`.
pub(crate) fn date(day: i64) -> String {
    time::date(day).unwrap_or(jiff::civil::Date::MAX).to_string()
}

#[cfg(test)]
mod tests {
    use super::time::DAY;
    use super::*;

    #[test]
    fn a_day_is_closed_48_hours_after_its_end() {
        assert_eq!(date(20_785), "2026-11-28");
        // Saturday the 28th belongs to the week of Monday the 23rd.
        assert_eq!(date(monday(20_785)), "2026-11-23");
        assert_eq!(monday(monday(20_785)), monday(20_785));
        let end = 20_786 * DAY;
        assert_eq!(last_closed(end + 2 * DAY), 20_785);
        assert_eq!(last_closed(end + 2 * DAY - 1), 20_784);
    }
}
