//! Counts the system calls of a trace that leave a mark.

use std::path::Path;

use anyhow::Context as _;

/// Calls that leave a mark, by kind.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    pub(crate) sockets: usize,
    /// Calls that make, change or remove a file.
    pub(crate) files: usize,
    pub(crate) threads: usize,
    /// The names of the calls.
    pub(super) calls: Vec<String>,
}

const SOCKETS: [&str; 11] = [
    "socket",
    "socketpair",
    "connect",
    "bind",
    "listen",
    "accept",
    "accept4",
    "sendto",
    "sendmsg",
    "sendmmsg",
    "io_uring_setup",
];
const THREADS: [&str; 6] = ["clone", "clone3", "fork", "vfork", "execve", "execveat"];
const FILES: [&str; 20] = [
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "symlink",
    "symlinkat",
    "link",
    "linkat",
    "rmdir",
    "creat",
    "truncate",
    "ftruncate",
    "chmod",
    "fchmod",
    "memfd_create",
];
const WRITABLE: [&str; 6] = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND", "O_TMPFILE"];
const WRITES: [&str; 5] = ["write", "writev", "pwrite64", "pwritev", "pwritev2"];

impl Marks {
    /// Counts the calls after the one that starts `program`.
    pub(crate) fn read(trace: &str, program: &Path) -> anyhow::Result<Self> {
        let started = format!("execve(\"{}\"", program.display());
        let mut lines = trace.lines().skip_while(|line| !line.contains(&started));
        lines.next().context("the trace does not show the program")?;
        let mut marks = Self::default();
        for line in lines {
            // Number of the process, and perhaps the time.
            let call =
                line.trim_start_matches(|one: char| one.is_ascii_digit() || " .".contains(one));
            marks.count(call);
        }
        Ok(marks)
    }

    fn count(&mut self, call: &str) {
        let Some((name, arguments)) = call.split_once('(') else { return };
        let count = if SOCKETS.contains(&name) {
            &mut self.sockets
        } else if THREADS.contains(&name) {
            &mut self.threads
        } else if FILES.contains(&name)
            || ["open", "openat", "openat2"].contains(&name)
                && WRITABLE.iter().any(|flag| arguments.contains(flag))
            // The answer of the program goes to its standard output.
            || WRITES.contains(&name) && !arguments.starts_with("1,") && !arguments.starts_with("2,")
        {
            &mut self.files
        } else {
            return;
        };
        *count += 1;
        self.calls.push(name.to_owned());
    }

    pub(super) const fn all(&self) -> usize {
        self.sockets + self.files + self.threads
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.sockets += other.sockets;
        self.files += other.files;
        self.threads += other.threads;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_that_leaves_a_mark_is_counted_once_and_reading_is_none() {
        let trace = "\
7 execve(\"/usr/bin/env\", [\"env\"], 0x1) = 0
7 socket(AF_UNIX, SOCK_STREAM, 0) = 3
7 execve(\"/w/optout\", [\"optout\"], 0x1) = 0
7 openat(AT_FDCWD, \"/etc/passwd\", O_RDONLY|O_CLOEXEC) = 3
7 write(1, \"silent\", 6) = 6
7 1712345678.5 openat(AT_FDCWD, \"/h/x\", O_WRONLY|O_CREAT, 0600) = -1 EROFS (Read-only file system)
7 mkdir(\"/h/y\", 0700) = -1 EROFS (Read-only file system)
7 write(5, \"x\", 1 <unfinished ...>
8 <... clone3 resumed>) = 9
7 clone3({flags=CLONE_VM|CLONE_THREAD}, 88) = 9
9 socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP) = 4
9 connect(4, {sa_family=AF_INET}, 16) = -1 ENETUNREACH (Network is unreachable)
";
        let marks = Marks::read(trace, Path::new("/w/optout")).unwrap();
        assert_eq!((marks.sockets, marks.files, marks.threads), (2, 3, 1), "{:?}", marks.calls);
        assert!(Marks::read(trace, Path::new("/elsewhere")).is_err());
    }
}
