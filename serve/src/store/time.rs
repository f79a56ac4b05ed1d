//! The day and the slot on which a message counts.

/// Unit: milliseconds.
pub(crate) const DAY: i64 = 86_400_000;
/// The length of a slot. Unit: milliseconds.
const SLOT: i64 = 600_000;

/// Oldest time of an engine that is believed: a queue on the way may be a week old.
const OLDEST: i64 = 7 * DAY;
/// How long after its end a day is closed: late messages of most outages have arrived by then.
const CLOSES_AFTER: i64 = 2 * DAY;
/// How far an engine's clock may go ahead.
const AHEAD: i64 = 600_000;

/// Returns the time at which a message counts, and whether the engine's clock was not believed.
///
/// `time_nanos` is the time that the engine gave, 0 if it gave none.
pub(crate) fn counted(received: i64, time_nanos: i64) -> (i64, bool) {
    if time_nanos == 0 {
        return (received, false);
    }
    let given = time_nanos.div_euclid(1_000_000);
    let late = received.saturating_sub(given);
    if (-AHEAD..=OLDEST).contains(&late) { (given, false) } else { (received, true) }
}

/// Returns the first day that is not closed at `now`. The origins of closed days are erased.
pub(crate) const fn first_open(now: i64) -> i64 {
    day(now.saturating_sub(CLOSES_AFTER))
}

/// Returns the day of a time: days since 1970 (UTC).
pub(crate) const fn day(time: i64) -> i64 {
    time.div_euclid(DAY)
}

/// Returns the date of a day. `None` if it is beyond the calendar.
pub(crate) fn date(day: i64) -> Option<jiff::civil::Date> {
    let span = jiff::Span::new().try_days(day);
    span.and_then(|span| jiff::civil::date(1970, 1, 1).checked_add(span)).ok()
}

/// Returns the slot of a time in its day, below 144.
pub(crate) fn slot(time: i64) -> usize {
    usize::try_from(time.rem_euclid(DAY).div_euclid(SLOT)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engines_clock_is_believed_within_a_week_back_and_ten_minutes_ahead() {
        let received = 20_000 * DAY + 5 * SLOT;
        for (given, expected) in [
            (received - 7 * DAY, (received - 7 * DAY, false)),
            (received - 7 * DAY - 1, (received, true)),
            (received + AHEAD, (received + AHEAD, false)),
            (received + AHEAD + 1, (received, true)),
            (received - DAY, (received - DAY, false)),
            (received + DAY, (received, true)),
        ] {
            assert_eq!(counted(received, given * 1_000_000), expected, "{given}");
        }
        assert_eq!(counted(received, 0), (received, false));
        assert_eq!(counted(received, i64::MIN), (received, true));
        assert_eq!((day(received), slot(received)), (20_000, 5));
        assert_eq!((day(-1), slot(-1)), (-1, 143));
    }
}
