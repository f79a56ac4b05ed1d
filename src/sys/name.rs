//! Names of the system and its parts: kernel, C library, processor.
//!
//! The host name is not read, because it would identify the machine.

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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn uname_equals_the_files_of_the_kernel() {
        let name = super::uname().unwrap();
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        assert_eq!(name.sysname, "Linux");
        assert_eq!(name.release, release.trim());
        assert_eq!(name.machine, std::env::consts::ARCH);
    }

    #[cfg(target_env = "gnu")]
    #[test]
    fn the_libc_version_is_two_numbers() {
        let version = super::libc_version().unwrap();
        let (major, minor) = version.split_once('.').unwrap();
        assert_eq!(major, "2");
        assert!(minor.parse::<u32>().unwrap() >= 17, "{version}");
    }
}
