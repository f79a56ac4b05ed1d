//! Tells a process from the children that it forks.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

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
