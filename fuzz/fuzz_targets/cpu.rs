//! Fuzzes the facts about the processor by CPUID leaves, `/proc/cpuinfo` and the Arm register.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use otel_usage_fuzz::{Tree, look};

static TREE: LazyLock<Tree> = LazyLock::new(|| {
    Tree::new(&["/proc/cpuinfo", "/sys/devices/system/cpu/cpu0/regs/identification/midr_el1"])
});

/// The leaves that are read. Any other number is left out.
const LEAVES: [u32; 6] = [0, 1, 0x8000_0000, 0x8000_0002, 0x8000_0003, 0x8000_0004];

fuzz_target!(|input: (Option<[[u32; 4]; 6]>, Option<&[u8]>, Option<&[u8]>)| {
    let (leaves, cpuinfo, register) = input;
    let mut machine = TREE.machine([cpuinfo, register]);
    if let Some(leaves) = leaves {
        machine = machine.with_cpuid(LEAVES.into_iter().zip(leaves));
    }
    look(&machine);
});
