//! Fuzzes the numbers of CPUs and cores by CPU lists, topology and the files of the fallbacks.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use otel_usage_fuzz::{Tree, look};

static TREE: LazyLock<Tree> = LazyLock::new(|| {
    Tree::new(&[
        "/sys/devices/system/cpu/online",
        "/sys/devices/system/cpu/present",
        "/sys/devices/system/cpu/smt/active",
        "/sys/devices/system/cpu/cpu0/topology/core_cpus_list",
        "/sys/devices/system/cpu/cpu1/topology/core_cpus_list",
        "/sys/devices/system/cpu/cpu3/topology/thread_siblings_list",
        "/sys/devices/cpu_atom/type",
        "/proc/stat",
        "/proc/cpuinfo",
    ])
});

fuzz_target!(|files: [Option<&[u8]>; 9]| {
    look(&TREE.machine(files));
});
