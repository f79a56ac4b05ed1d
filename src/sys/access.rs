//! Answers to questions about users and folders: the user of this process, the file system of a folder, and whether it
//! may be filled.

/// Returns the real user id of this process; 0 if the system has none.
pub(crate) fn user_id() -> u32 {
    #[cfg(unix)]
    // SAFETY: takes no argument, touches no memory and cannot fail.
    return unsafe { libc::getuid() };
    #[cfg(not(unix))]
    return 0;
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
pub(crate) fn may_fill(folder: &std::path::Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt as _;
        let path = std::ffi::CString::new(folder.as_os_str().as_bytes())?;
        // SAFETY: the path ends with a zero byte.
        if unsafe { libc::access(path.as_ptr(), libc::R_OK | libc::W_OK | libc::X_OK) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}
