//! Fuzzes memory and its limit by `/proc/meminfo`, the own cgroup and limits of both versions.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use otel_usage_fuzz::{Tree, look};

static TREE: LazyLock<Tree> = LazyLock::new(|| {
    Tree::new(&[
        "/proc/meminfo",
        "/proc/self/cgroup",
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/a/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
    ])
});

fuzz_target!(|files: [Option<&[u8]>; 6]| {
    look(&TREE.machine(files));
});
