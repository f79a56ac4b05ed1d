//! Local time, by the time zone data of the C library.

/// Local time as a calendar and a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CivilTime {
    /// Year of the Gregorian calendar: 2026.
    pub(crate) year: i32,
    /// Month, 1 to 12.
    pub(crate) month: i32,
    /// Day of the month, 1 to 31.
    pub(crate) day: i32,
    /// Hour, 0 to 23.
    pub(crate) hour: i32,
    /// Minute, 0 to 59.
    pub(crate) minute: i32,
    /// Second, 0 to 60 (a leap second where the time zone data has them).
    pub(crate) second: i32,
}

/// Turns seconds since 1970 into local time. Returns `None` if the C library cannot represent it.
#[cfg(any(unix, windows))]
pub(crate) fn local_time(unix_seconds: i64) -> Option<CivilTime> {
    // `time_t` has 32 bits on a few systems.
    #[cfg_attr(
        target_pointer_width = "64",
        expect(clippy::useless_conversion, reason = "the two types are the same one here")
    )]
    let seconds = unix_seconds.try_into().ok()?;
    let mut local = core::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are valid for the whole call and do not alias. The C library
    // guards its own time zone data by a lock; it may read `TZ`, which races only with an
    // environment change that is itself unsound in a process with threads.
    #[cfg(unix)]
    let done = unsafe { !libc::localtime_r(&raw const seconds, local.as_mut_ptr()).is_null() };
    // SAFETY: as above; this form returns 0 on success.
    #[cfg(windows)]
    let done = unsafe { libc::localtime_s(local.as_mut_ptr(), &raw const seconds) == 0 };
    if !done {
        return None;
    }
    // SAFETY: `tm` is made of integers and at most one pointer, for which zero is a valid
    // value; the call succeeded and filled the fields read below.
    let local = unsafe { local.assume_init() };
    Some(CivilTime {
        year: local.tm_year.checked_add(1900)?,
        month: local.tm_mon.checked_add(1)?,
        day: local.tm_mday,
        hour: local.tm_hour,
        minute: local.tm_min,
        second: local.tm_sec,
    })
}

#[cfg(not(any(unix, windows)))]
pub(crate) fn local_time(_unix_seconds: i64) -> Option<CivilTime> {
    None
}

#[cfg(test)]
mod tests {
    use super::local_time;

    #[test]
    fn local_time_is_within_a_day_of_universal_time() {
        // 2026-11-23 12:00:00 UTC; no time zone is further than 14 hours away.
        let noon = local_time(1_795_435_200).unwrap();
        assert_eq!((noon.year, noon.month), (2026, 11));
        assert!((22..=24).contains(&noon.day), "{noon:?}");
        assert!((0..=23).contains(&noon.hour), "{noon:?}");
        assert!((0..=59).contains(&noon.minute), "{noon:?}");
        assert_eq!(noon.second, 0);
    }

    #[test]
    fn one_hour_later_is_one_hour_later() {
        let first = local_time(1_795_435_200).unwrap();
        let second = local_time(1_795_438_800).unwrap();
        assert_ne!(first, second);
        assert_eq!(first.minute, second.minute);
    }

    #[test]
    fn a_year_beyond_the_calendar_has_no_local_time() {
        assert_eq!(local_time(i64::MAX), None);
    }
}
