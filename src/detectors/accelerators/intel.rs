//! Lists Intel's discrete graphics cards by the kernel's files.
//!
//! The graphics part of a processor is left out, because no engine serves models from it. The kernel
//! has no name for a card; some drivers publish its memory.

use super::super::{Facts, Machine};
use super::listing::{Device, Listed, Listing, Vendor, bytes};
use super::{AcceleratorSource, drm};

/// Intel's PCI number.
const VENDOR: &str = "0x8086";

/// Variables that choose devices by rules that are not understood here.
const CHOOSERS: [&str; 2] = ["ONEAPI_DEVICE_SELECTOR", "ZE_AFFINITY_MASK"];

pub(super) struct Intel;

impl Vendor for Intel {
    fn is_kernels(&self) -> bool {
        true
    }

    fn listing(&self, machine: &Machine, _facts: &Facts) -> Listed {
        let mut devices = Vec::new();
        let mut tiled = false;
        for card in drm::cards(machine, VENDOR) {
            let memory_bytes = memory(machine, &card);
            // Only discrete cards have sensors of their own.
            if memory_bytes.is_some() || machine.exists(&format!("{card}/device/hwmon")) {
                tiled |= machine.exists(&format!("{card}/device/tile1"));
                devices.push(Device { memory_bytes, ..Device::default() });
            }
        }
        if devices.is_empty() {
            return Ok(None);
        }
        let chosen = CHOOSERS.iter().any(|variable| machine.has_variable(variable));
        let listing = Listing::new(AcceleratorSource::IntelSysfs, devices);
        // A framework may count each tile of a card as a device with its own memory.
        Ok(Some(if tiled {
            Listing { devices: vec![Device::default()], ..listing.uncertain() }
        } else if chosen {
            listing.uncertain()
        } else {
            listing
        }))
    }
}

/// Reads the local memory of a card, as the drivers i915 and xe publish it.
fn memory(machine: &Machine, card: &str) -> Option<i64> {
    let places = ["lmem_total_bytes", "device/tile0/physical_vram_size_bytes"];
    places.iter().find_map(|place| bytes(&machine.attribute(&format!("{card}/{place}"))?))
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::Tree;
    use super::super::super::{Facts, Machine};
    use super::super::Accelerators;
    use super::super::listing::Vendor;
    use super::Intel;

    fn found(machine: &Machine) -> Option<Accelerators> {
        Intel.listing(machine, &Facts::default()).unwrap()?.summary()
    }

    fn card(tree: Tree, number: u32) -> Tree {
        let device = format!("/sys/class/drm/card{number}/device");
        tree.file(&format!("{device}/vendor"), "0x8086\n")
            .file(&format!("{device}/class"), "0x038000\n")
    }

    #[test]
    fn graphics_of_a_processor_are_left_out() {
        assert_eq!(found(&card(Tree::new(), 0).machine()), None);
    }

    #[test]
    fn discrete_cards_are_counted() {
        let tree = card(card(Tree::new(), 0), 1)
            .file("/sys/class/drm/card1/lmem_total_bytes", "16777216000\n");
        let seen = found(&tree.machine()).unwrap();
        assert_eq!((seen.count, seen.memory_bytes), (Some(1), Some(16_777_216_000)));
        assert_eq!((seen.name, seen.source.as_str()), (None, "intel_sysfs"));
        let tree = card(Tree::new(), 1).file("/sys/class/drm/card1/device/hwmon/hwmon3/name", "xe");
        let seen = found(&tree.machine()).unwrap();
        assert_eq!((seen.count, seen.memory_bytes), (Some(1), None));
    }

    #[test]
    fn choosers_and_tiles_leave_the_count_open() {
        let memory = "/sys/class/drm/card1/device/tile0/physical_vram_size_bytes";
        let tree = card(Tree::new(), 1).file(memory, "1024\n");
        let chosen = found(&tree.machine_with(&[("ZE_AFFINITY_MASK", "0.1")])).unwrap();
        assert_eq!((chosen.count, chosen.memory_bytes), (None, Some(1024)));
        let tree = tree.file("/sys/class/drm/card1/device/tile1/id", "1");
        let tiled = found(&tree.machine()).unwrap();
        assert_eq!((tiled.count, tiled.memory_bytes), (None, None));
    }
}
