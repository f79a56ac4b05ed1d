//! The seccomp filter: system calls that a silent process must not make.
//!
//! The filter holds for the calling thread and for every thread and process it starts later. A
//! forbidden call, or any call through another architecture's table, kills the whole process with
//! SIGSYS. Calls that read, map memory or tell the time stay allowed, because consent itself takes a
//! handful of `stat` calls.
//!
//! System calls that only some architectures have are the older spellings; x86-64 has them.

use std::error::Error;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

/// A class of traces that a process can leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Files and directories that are made, changed, renamed or removed.
    Files,
    /// Sockets of any family.
    Network,
    /// Threads and child processes.
    Processes,
}

impl Part {
    pub(crate) const ALL: &[Self] = &[Self::Files, Self::Network, Self::Processes];

    /// Returns the calls that are forbidden with any arguments.
    const fn calls(self) -> &'static [libc::c_long] {
        match self {
            Self::Files => FILES,
            Self::Network => NETWORK,
            Self::Processes => PROCESSES,
        }
    }
}

const NETWORK: &[libc::c_long] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_listen,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_socket,
    libc::SYS_socketpair,
    // It performs any of these operations, and those on files, without further system calls.
    libc::SYS_io_uring_setup,
];

const PROCESSES: &[libc::c_long] = &[
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_execve,
    libc::SYS_execveat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];

const FILES: &[libc::c_long] = &[
    libc::SYS_copy_file_range,
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_fsetxattr,
    libc::SYS_ftruncate,
    libc::SYS_linkat,
    libc::SYS_lsetxattr,
    libc::SYS_memfd_create,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    // Its flags lie in memory, which a filter cannot read.
    libc::SYS_openat2,
    libc::SYS_renameat2,
    libc::SYS_sendfile,
    libc::SYS_setxattr,
    libc::SYS_splice,
    libc::SYS_symlinkat,
    libc::SYS_truncate,
    libc::SYS_unlinkat,
    libc::SYS_utimensat,
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    libc::SYS_renameat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_creat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_link,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mknod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rmdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_symlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utimes,
];

/// Calls that open a file, each with the number of the argument that holds the flags.
const OPENS: &[(libc::c_long, u8)] = &[
    (libc::SYS_openat, 2),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, 1),
];

/// Flags with which the file may be changed. Both access modes that write have a bit of their own, and
/// `O_TMPFILE` needs one of them.
const WRITING: &[libc::c_int] =
    &[libc::O_WRONLY, libc::O_RDWR, libc::O_CREAT, libc::O_TRUNC, libc::O_APPEND];

/// Calls that write to the open file in their first argument.
const WRITES: &[libc::c_long] =
    &[libc::SYS_pwrite64, libc::SYS_pwritev, libc::SYS_pwritev2, libc::SYS_write, libc::SYS_writev];

/// Forbids `parts` to this thread and to everything that it starts. Without parts it sets no filter.
pub(crate) fn install(parts: &[Part]) -> Result<(), Box<dyn Error>> {
    if parts.is_empty() {
        return Ok(());
    }
    // The program has one thread here, and later ones inherit the filter.
    seccompiler::apply_filter(&program(parts)?)
        .map_err(|error| format!("the filter cannot be installed: {error}"))?;
    Ok(())
}

fn program(parts: &[Part]) -> Result<BpfProgram, Box<dyn Error>> {
    let mut rules = std::collections::BTreeMap::new();
    for call in parts.iter().flat_map(|part| part.calls()) {
        rules.insert(*call, Vec::new());
    }
    if parts.contains(&Part::Files) {
        for (call, flags) in OPENS {
            let bits = WRITING.iter().map(|bit| has_bit(*flags, *bit)).collect::<Result<_, _>>()?;
            rules.insert(*call, bits);
        }
        for call in WRITES {
            rules.insert(*call, vec![beyond_stderr()?]);
        }
    }
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::KillProcess,
        std::env::consts::ARCH.try_into()?,
    )?;
    Ok(filter.try_into()?)
}

/// Matches when `bit` is set in the argument.
fn has_bit(argument: u8, bit: libc::c_int) -> Result<SeccompRule, Box<dyn Error>> {
    let bit = u64::try_from(bit)?;
    let set = SeccompCmpOp::MaskedEq(bit);
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, set, bit)?;
    Ok(SeccompRule::new(vec![condition])?)
}

/// Matches when the first argument is neither standard output nor standard error.
fn beyond_stderr() -> Result<SeccompRule, Box<dyn Error>> {
    let not = |descriptor: u64| {
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, descriptor)
    };
    Ok(SeccompRule::new(vec![not(1)?, not(2)?])?)
}
