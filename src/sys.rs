//! Calls into the C library and the processor: system name, C library version, user id, local time,
//! CPUID, file lock, forks, signals.
//!
//! This is the only file of the crate with `unsafe` code. Each function returns `None` if the platform
//! has no answer. The host name is not read, because it would identify the machine.
#![expect(unsafe_code, reason = "the crate's only foreign calls; each block says why it is sound")]

use std::fs::File;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The result of `uname(2)`, without the host name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "recording",
    derive(serde::Deserialize, serde::Serialize),
    serde(deny_unknown_fields)
)]
pub(crate) struct SystemName {
    /// Name of the system as the kernel spells it: `Linux`, `Darwin`.
    pub(crate) sysname: String,
    /// Release of the kernel: `6.8.0-1031-aws`.
    pub(crate) release: String,
    /// Hardware name: `x86_64`, `aarch64`, `arm64`.
    pub(crate) machine: String,
}

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

/// Asks the kernel for its name. Returns `None` if there is no `uname`, or if the call fails.
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

#[cfg(not(unix))]
pub(crate) fn uname() -> Option<SystemName> {
    None
}

/// Returns the characters of a C array before its first NUL.
#[cfg(unix)]
fn until_nul(field: &[libc::c_char]) -> String {
    // SAFETY: `c_char` is an `i8` or a `u8`, and each byte of one is a valid byte of the other.
    let bytes = unsafe { core::slice::from_raw_parts(field.as_ptr().cast::<u8>(), field.len()) };
    let text = core::ffi::CStr::from_bytes_until_nul(bytes).unwrap_or_default();
    text.to_string_lossy().into_owned()
}

/// Returns the version of the GNU C library on which this process runs (`2.36`); it may differ from
/// that of the build. Other C libraries have no such call.
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

#[cfg(not(all(target_env = "gnu", target_os = "linux")))]
pub(crate) fn libc_version() -> Option<String> {
    None
}

/// Returns the real user id of this process; 0 if the system has none.
pub(crate) fn user_id() -> u32 {
    #[cfg(unix)]
    // SAFETY: takes no argument, touches no memory and cannot fail.
    return unsafe { libc::getuid() };
    #[cfg(not(unix))]
    return 0;
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

/// Returns `eax`, `ebx`, `ecx`, `edx` of one CPUID leaf (sub-leaf 0).
#[cfg(target_arch = "x86_64")]
pub(crate) fn cpuid(leaf: u32) -> Option<[u32; 4]> {
    #[allow(unused_unsafe, reason = "the function became safe after Rust 1.88")]
    // SAFETY: every x86-64 processor has the instruction, and it changes nothing.
    let registers = unsafe { core::arch::x86_64::__cpuid(leaf) };
    Some([registers.eax, registers.ebx, registers.ecx, registers.edx])
}

#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn cpuid(_leaf: u32) -> Option<[u32; 4]> {
    None
}

/// The lock of a file, until it is dropped.
#[derive(Debug)]
pub(crate) struct FileLock<'a>(&'a File);

/// How often the lock of a file is tried, and the pause between. Unit of the pause: milliseconds. Together they
/// are half of what the files of the machine may take, because the reader of the machine is to come to its end.
#[cfg(unix)]
const LOCK_TRIES: (usize, libc::c_int) = (50, 10);

/// Waits for the lock of a file, about half a second at most, because a process that was stopped may hold it for ever. Only
/// Unix has such a lock.
///
/// # Errors
///
/// [`io::ErrorKind::WouldBlock`] if another process holds it all the time.
pub(crate) fn lock(file: &File) -> io::Result<FileLock<'_>> {
    #[cfg(unix)]
    for rest in (0..LOCK_TRIES.0).rev() {
        let how = libc::LOCK_EX | libc::LOCK_NB;
        // SAFETY: the descriptor is open for the whole call, which touches no memory.
        if unsafe { libc::flock(std::os::fd::AsRawFd::as_raw_fd(file), how) } == 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if rest == 0 || error.kind() != io::ErrorKind::WouldBlock {
            return Err(error);
        }
        // SAFETY: without descriptors it is a pause, and no memory is touched.
        unsafe { libc::poll(core::ptr::null_mut(), 0, LOCK_TRIES.1) };
    }
    Ok(FileLock(file))
}

impl Drop for FileLock<'_> {
    fn drop(&mut self) {
        // To close the file is not enough: a child that was forked meanwhile has it open, too.
        #[cfg(unix)]
        // SAFETY: as above.
        unsafe {
            libc::flock(std::os::fd::AsRawFd::as_raw_fd(self.0), libc::LOCK_UN);
        }
        let _ = self.0;
    }
}

/// Takes the lock of a file for this process, which holds it until it closes any descriptor of the file. A forked
/// child does not hold it. Returns `false` if another process does.
///
/// # Errors
///
/// The file system has no locks.
#[cfg(feature = "http")]
pub(crate) fn own(file: &File) -> io::Result<bool> {
    #[cfg(unix)]
    {
        let mut lock = whole_file();
        let file = std::os::fd::AsRawFd::as_raw_fd(file);
        // SAFETY: the descriptor is open and the pointer valid for the whole call.
        if unsafe { libc::fcntl(file, libc::F_SETLK, &raw mut lock) } == 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EACCES | libc::EAGAIN) => Ok(false),
            _ => Err(error),
        }
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Returns the process that holds the lock of [`own`], 0 if its id is unknown. `None` if no other process does, or if
/// nothing can tell.
#[cfg(feature = "http")]
pub(crate) fn holder(file: &File) -> Option<u32> {
    #[cfg(unix)]
    {
        let mut lock = whole_file();
        let file = std::os::fd::AsRawFd::as_raw_fd(file);
        // SAFETY: the descriptor is open and the pointer valid for the whole call.
        if unsafe { libc::fcntl(file, libc::F_GETLK, &raw mut lock) } != 0
            || lock.l_type == libc::F_UNLCK as libc::c_short
        {
            return None;
        }
        Some(u32::try_from(lock.l_pid).unwrap_or(0))
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        None
    }
}

/// Returns the question for a lock of a whole file.
#[cfg(all(unix, feature = "http"))]
fn whole_file() -> libc::flock {
    // SAFETY: `flock` is made of integers, for which zero is valid; zero lengths mean the whole file.
    let mut lock: libc::flock = unsafe { core::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock
}

/// Returns the number of the file system on which `path` lies. Only Linux numbers them.
#[cfg(feature = "http")]
pub(crate) fn file_system(path: &std::path::Path) -> Option<u32> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt as _;
        let path = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
        let mut found = core::mem::MaybeUninit::<libc::statfs>::zeroed();
        // SAFETY: the path ends with a zero byte, and the pointer is valid for writes for the whole call.
        if unsafe { libc::statfs(path.as_ptr(), found.as_mut_ptr()) } != 0 {
            return None;
        }
        // SAFETY: the structure is made of integers, for which zero is valid, and the call filled it.
        let number = unsafe { found.assume_init() }.f_type;
        // The type differs between C libraries; the numbers have 32 bits.
        Some(number as u32)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        None
    }
}

/// Asks whether files can be listed, made and removed in a folder.
#[cfg(feature = "http")]
pub(crate) fn may_fill(folder: &std::path::Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt as _;
        let path = std::ffi::CString::new(folder.as_os_str().as_bytes())?;
        // SAFETY: the path ends with a zero byte.
        if unsafe { libc::access(path.as_ptr(), libc::R_OK | libc::W_OK | libc::X_OK) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// The process that made a value, as opposed to the children that it forks.
///
/// Process ids do not tell them apart: ids are used again, and the first process of a pid namespace has the
/// id of a parent that is the first of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process(u32);

/// The number of the last process of this family that made a value.
static LAST_PROCESS: AtomicU32 = AtomicU32::new(0);

impl Process {
    /// Returns the process that calls.
    pub(crate) fn current() -> Self {
        let mark = process_mark();
        let new = LAST_PROCESS.fetch_add(1, Ordering::Relaxed).wrapping_add(1).max(1);
        let known = mark.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed);
        Self(known.map_or_else(|known| known, |_| new))
    }

    /// Returns whether a forked child calls. In a child, no thread of ours exists, and a thread that does
    /// not exist either may hold any lock. It is one read of memory.
    pub(crate) fn is_forked(self) -> bool {
        process_mark().load(Ordering::Relaxed) != self.0
    }
}

/// Returns the number of this process, which is 0 after a fork.
///
/// Linux clears its page in every child, however the child was made (`MADV_WIPEONFORK`). A handler clears it
/// where the kernel cannot, unless the child was made without the C library's `fork`.
fn process_mark() -> &'static AtomicU32 {
    static FALLBACK: AtomicU32 = AtomicU32::new(0);
    static MARK: OnceLock<&'static AtomicU32> = OnceLock::new();
    MARK.get_or_init(|| {
        #[cfg(unix)]
        {
            extern "C" fn forked() {
                if let Some(mark) = MARK.get() {
                    mark.store(0, Ordering::Relaxed);
                }
            }
            // SAFETY: the handler only stores to an atomic, which is allowed in a child.
            unsafe { libc::pthread_atfork(None, None, Some(forked)) };
        }
        wiped_page().unwrap_or(&FALLBACK)
    })
}

/// Returns a number that the kernel sets to 0 in every child. `None` if the kernel does not know how.
#[cfg(target_os = "linux")]
fn wiped_page() -> Option<&'static AtomicU32> {
    const BYTES: usize = size_of::<AtomicU32>();
    // SAFETY: a new private page at a place that the kernel chooses; nothing else is touched. The kernel
    // rounds the length up to a page.
    let page = unsafe {
        let (access, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        libc::mmap(core::ptr::null_mut(), BYTES, access, flags, -1, 0)
    };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the page was mapped above.
    if unsafe { libc::madvise(page, BYTES, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: as above, and nothing refers to the page.
        unsafe { libc::munmap(page, BYTES) };
        return None;
    }
    // SAFETY: the page is aligned, holds zeros and is never unmapped.
    Some(unsafe { AtomicU32::from_ptr(page.cast()) })
}

#[cfg(not(target_os = "linux"))]
const fn wiped_page() -> Option<&'static AtomicU32> {
    None
}

/// While it lives, a write of this thread past a limit (`SIGXFSZ`) or to a closed pipe (`SIGPIPE`) fails
/// and does no more. The engine's handlers stay as they are.
#[cfg(unix)]
pub(crate) struct QuietSignals {
    mask: libc::sigset_t,
    /// Signals that waited already, and are not ours.
    foreign: libc::sigset_t,
}

#[cfg(unix)]
impl QuietSignals {
    const SIGNALS: [libc::c_int; 2] = [libc::SIGXFSZ, libc::SIGPIPE];

    /// Blocks the signals on this thread.
    pub(crate) fn begin() -> Self {
        let mut mask = signals(&[]);
        let foreign = pending();
        // SAFETY: both pointers are valid for the whole call.
        unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, &signals(&Self::SIGNALS), &raw mut mask);
        }
        Self { mask, foreign }
    }
}

#[cfg(unix)]
impl Drop for QuietSignals {
    fn drop(&mut self) {
        for signal in Self::SIGNALS {
            // SAFETY: the pointers are valid for the whole calls. Taking a signal does not wait: it is there,
            // and on Linux the time limit is zero.
            unsafe {
                if libc::sigismember(&pending(), signal) != 1
                    || libc::sigismember(&raw const self.foreign, signal) == 1
                {
                    continue;
                }
                #[cfg(target_os = "linux")]
                libc::sigtimedwait(
                    &signals(&[signal]),
                    core::ptr::null_mut(),
                    &core::mem::zeroed(),
                );
                #[cfg(not(target_os = "linux"))]
                libc::sigwait(&signals(&[signal]), &mut 0);
            }
        }
        // SAFETY: the mask is the one that the thread had.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.mask, core::ptr::null_mut());
        }
    }
}

/// While it lives, this thread gets no signal that is sent to the process, so that threads of the engine do. Those that
/// a fault of the thread itself raises stay as they are, because the engine may print its stack then.
#[cfg(unix)]
pub(crate) struct NoSignals(libc::sigset_t);

#[cfg(unix)]
impl NoSignals {
    const FAULTS: [libc::c_int; 5] =
        [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP];

    pub(crate) fn begin() -> Self {
        let (mut all, mut before) = (signals(&[]), signals(&[]));
        // SAFETY: the pointers are valid for the whole calls.
        unsafe {
            libc::sigfillset(&raw mut all);
            for fault in Self::FAULTS {
                libc::sigdelset(&raw mut all, fault);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, &raw mut before);
        }
        Self(before)
    }
}

#[cfg(unix)]
impl Drop for NoSignals {
    fn drop(&mut self) {
        // SAFETY: the mask is the one that the thread had.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, core::ptr::null_mut());
        }
    }
}

/// Returns a set of signals.
#[cfg(unix)]
fn signals(which: &[libc::c_int]) -> libc::sigset_t {
    // SAFETY: a set is made of integers, for which zero is valid, and the calls only write to it.
    unsafe {
        let mut set = core::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in which {
            libc::sigaddset(&raw mut set, *signal);
        }
        set
    }
}

/// Returns the signals that wait for this thread or for the process.
#[cfg(unix)]
fn pending() -> libc::sigset_t {
    let mut set = signals(&[]);
    // SAFETY: the pointer is valid for the whole call.
    unsafe { libc::sigpending(&raw mut set) };
    set
}

/// Only Unix sends signals to threads.
#[cfg(not(unix))]
pub(crate) struct NoSignals;

#[cfg(not(unix))]
impl NoSignals {
    pub(crate) const fn begin() -> Self {
        Self
    }
}

/// Only Unix raises signals for writes.
#[cfg(not(unix))]
pub(crate) struct QuietSignals;

#[cfg(not(unix))]
impl QuietSignals {
    pub(crate) const fn begin() -> Self {
        Self
    }
}

#[cfg(test)]
mod tests {
    use super::local_time;

    #[cfg(unix)]
    #[test]
    fn a_lock_that_another_holds_for_ever_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let open = || std::fs::File::create(folder.path().join("x")).unwrap();
        let (one, other) = (open(), open());
        let held = super::lock(&one).unwrap();
        let error = super::lock(&other).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        drop(held);
        super::lock(&other).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn uname_equals_the_files_of_the_kernel() {
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
    fn a_year_beyond_the_calendar_has_no_local_time() {
        assert_eq!(local_time(i64::MAX), None);
    }
}
