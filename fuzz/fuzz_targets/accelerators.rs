//! Variables that choose devices, and the kernel's files about them, in; accelerators out.
//!
//! No driver is asked: a described machine has none.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use otel_usage_fuzz::{Tree, look};

static TREE: LazyLock<Tree> = LazyLock::new(|| {
    Tree::new(&[
        "/sys/class/kfd/kfd/topology/nodes/0/properties",
        "/sys/class/kfd/kfd/topology/nodes/1/properties",
        "/sys/class/kfd/kfd/topology/nodes/1/name",
        "/sys/class/drm/card0/device/vendor",
        "/sys/class/drm/card0/device/device",
        "/sys/class/drm/card0/device/mem_info_vram_total",
        "/dev/accel0",
        "/dev/vfio/0",
    ])
});

fuzz_target!(|input: ([Option<&[u8]>; 8], Vec<(u8, &str)>)| {
    let (files, variables) = input;
    // Whatever variables the probe declares.
    let names = otel_usage::probe::ENVIRONMENT;
    let set = variables.into_iter().filter_map(|(name, value)| {
        let name = names.get(usize::from(name) % names.len())?;
        Some(((*name).to_owned(), value.to_owned()))
    });
    let facts = look(&TREE.machine(files).with_environment(set));
    if let Some(found) = facts.accelerators {
        assert!(found.count.is_none_or(|count| count >= 0), "{found:?}");
        assert!(found.memory_bytes.is_none_or(|bytes| bytes >= 0), "{found:?}");
    }
});
