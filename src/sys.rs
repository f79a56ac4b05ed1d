//! The few questions only the C library answers: system name, C library version,
//! user ids, local time.
//!
//! Plain values come in, owned values go out; `None` where the platform has no answer.
//! This is the only file of the crate with `unsafe` code. It reads no host name.
#![expect(unsafe_code, reason = "the crate's only foreign calls; each block says why it is sound")]

/// What `uname(2)` says, without the host name, which would identify the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SystemName {
    /// Name of the system as the kernel spells it: `Linux`, `Darwin`.
    pub(crate) sysname: String,
    /// Release of the kernel: `6.8.0-1031-aws`.
    pub(crate) release: String,
    /// Hardware name: `x86_64`, `aarch64`, `arm64`.
    pub(crate) machine: String,
}

/// A point in local time as a calendar and a clock on the wall show it.
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

/// Asks the kernel for its name; `None` off Unix or when the call fails.
#[cfg(unix)]
pub(crate) fn uname() -> Option<SystemName> {
    let mut name = core::mem::MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: the pointer is valid for writes of one `utsname` for the whole call.
    if unsafe { libc::uname(name.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: `utsname` is made of integers only, for which all-zero memory is a valid
    // value, and a successful call only adds bytes to it.
    let name = unsafe { name.assume_init() };
    Some(SystemName {
        sysname: until_nul(&name.sysname),
        release: until_nul(&name.release),
        machine: until_nul(&name.machine),
    })
}

/// There is no `uname` here.
#[cfg(not(unix))]
pub(crate) fn uname() -> Option<SystemName> {
    None
}

/// The characters of a fixed C array before its first NUL, or all of them if it has none.
#[cfg(unix)]
fn until_nul(field: &[libc::c_char]) -> String {
    let until = field.iter().position(|&c| c == 0).unwrap_or(field.len());
    let bytes = field.iter().take(until).map(|&c| c.to_ne_bytes()[0]).collect();
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Version of the GNU C library this process runs on (`2.36`), not the one it was built with.
///
/// `None` with every other C library: none of them can be asked.
#[cfg(target_env = "gnu")]
#[cfg(target_os = "linux")]
pub(crate) fn libc_version() -> Option<String> {
    // SAFETY: takes no argument and returns a pointer to a constant string or null.
    let version = unsafe { libc::gnu_get_libc_version() };
    if version.is_null() {
        return None;
    }
    // SAFETY: not null, NUL-terminated, part of the loaded C library and never changed.
    let version = unsafe { core::ffi::CStr::from_ptr(version) };
    Some(version.to_string_lossy().into_owned())
}

/// No C library here that could be asked.
#[cfg(not(all(target_env = "gnu", target_os = "linux")))]
pub(crate) fn libc_version() -> Option<String> {
    None
}

/// The real user id of this process; 0 off Unix.
pub(crate) fn user_id() -> u32 {
    #[cfg(unix)]
    // SAFETY: takes no argument, touches no memory and cannot fail.
    return unsafe { libc::getuid() };
    #[cfg(not(unix))]
    return 0;
}

/// Turns seconds since 1970 into the local time of this machine.
///
/// `None` when the C library cannot represent the time.
#[cfg(any(unix, windows))]
pub(crate) fn local_time(unix_seconds: i64) -> Option<CivilTime> {
    // `time_t` has 32 bits on a few systems; a time it cannot hold is no time.
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

/// No local time here.
#[cfg(not(any(unix, windows)))]
pub(crate) fn local_time(_unix_seconds: i64) -> Option<CivilTime> {
    None
}

#[cfg(test)]
mod tests {
    use super::local_time;

    #[cfg(target_os = "linux")]
    #[test]
    fn uname_equals_what_the_kernel_publishes_as_files() {
        let name = super::uname().unwrap();
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        assert_eq!(name.sysname, "Linux");
        assert_eq!(name.release, release.trim());
        assert_eq!(name.machine, std::env::consts::ARCH);
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn the_libc_version_is_two_numbers() {
        let version = super::libc_version().unwrap();
        let (major, minor) = version.split_once('.').unwrap();
        assert_eq!(major, "2");
        assert!(minor.parse::<u32>().unwrap() >= 17, "{version}");
    }

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
    fn a_year_beyond_the_calendar_is_no_time() {
        assert_eq!(local_time(i64::MAX), None);
    }
}
