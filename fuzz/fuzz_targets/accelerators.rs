//! Fuzzes the accelerator detector by the variables that choose devices and the kernel's files about them.
//! A described machine has no driver.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use otel_usage_fuzz::{Tree, look};

static TREE: LazyLock<Tree> = LazyLock::new(|| {
    Tree::new(&[
        "/sys/class/kfd/kfd/topology/nodes/0/properties",
        "/sys/class/kfd/kfd/topology/nodes/1/properties",
        "/sys/class/kfd/kfd/topology/nodes/1/mem_banks/0/properties",
        "/sys/class/drm/renderD128/device/product_name",
        "/sys/module/amdgpu/version",
        "/sys/class/drm/card0/device/vendor",
        "/sys/class/drm/card0/device/device",
        "/sys/class/drm/card0/device/class",
        "/sys/class/drm/card0/device/tile0/physical_vram_size_bytes",
        "/sys/class/drm/card0/lmem_total_bytes",
        "/sys/bus/pci/devices/0000:00:04.0/vendor",
        "/sys/bus/pci/devices/0000:00:04.0/device",
        "/dev/dri/renderD128",
        "/dev/accel0",
        "/dev/vfio/0",
    ])
});

fuzz_target!(|input: ([Option<&[u8]>; 15], Vec<(u8, &str)>)| {
    let (files, variables) = input;
    // All variables that the detectors declare.
    let names = otel_usage::detectors::VARIABLES;
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
