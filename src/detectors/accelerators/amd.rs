//! Lists AMD's devices by the kernel's files; no library of AMD's is loaded.
//!
//! ROCm itself reads the compute topology, which has the memory of each partition; devices that a
//! container was not given are unreadable there. Without it, the graphics cards are listed.

use super::super::{Facts, Machine};
use super::listing::{Device, Listed, Listing, Vendor, bytes};
use super::{AcceleratorSource, drm, visible};

/// Has a folder for each processor, CPU or device.
const NODES: &str = "/sys/class/kfd/kfd/topology/nodes";

/// AMD's PCI number.
const VENDOR: &str = "0x1002";

/// Most entries of a folder that are read; the largest machines have 16 devices of 8 partitions.
const MOST: usize = 256;

pub(super) struct Amd;

impl Vendor for Amd {
    fn is_kernels(&self) -> bool {
        true
    }

    fn listing(&self, machine: &Machine, _facts: &Facts) -> Listed {
        let mut devices = by_topology(machine);
        if devices.is_empty() {
            devices = by_card(machine);
        }
        if devices.is_empty() {
            return Ok(None);
        }
        let mut listing = match seen(machine, &devices) {
            Some(devices) => Listing::new(AcceleratorSource::AmdSysfs, devices),
            None => Listing::new(AcceleratorSource::AmdSysfs, devices).uncertain(),
        };
        // Only ROCm's own module has a version; the kernel's has none.
        listing.driver_version = machine.attribute("/sys/module/amdgpu/version");
        Ok(Some(listing))
    }
}

/// Applies the variables. Returns `None` if they are not plain lists of numbers.
///
/// ROCr chooses first, HIP from the rest. Without its own variable, HIP reads CUDA's.
fn seen(machine: &Machine, devices: &[Device]) -> Option<Vec<Device>> {
    let hip = machine
        .variable("HIP_VISIBLE_DEVICES")
        .or_else(|| machine.variable("CUDA_VISIBLE_DEVICES"));
    let lists = [machine.variable("ROCR_VISIBLE_DEVICES"), hip];
    lists
        .into_iter()
        .flatten()
        .try_fold(devices.to_vec(), |left, list| visible::choose(&left, list))
}

fn by_topology(machine: &Machine) -> Vec<Device> {
    numbered(machine, NODES).filter_map(|node| node_device(machine, node)).collect()
}

/// Reads the device of a node. Returns `None` for a CPU, and for a device that the process may not use.
fn node_device(machine: &Machine, node: u32) -> Option<Device> {
    let node = format!("{NODES}/{node}");
    let properties = machine.attribute(&format!("{node}/properties"))?;
    if property(&properties, "simd_count")? == 0 {
        return None;
    }
    let name = property(&properties, "drm_render_minor")
        .and_then(|minor| name(machine, &format!("/sys/class/drm/renderD{minor}")));
    let chip = property(&properties, "device_id").zip(property(&properties, "gfx_target_version"));
    Some(Device { chip, name, memory_bytes: own_memory(machine, &node) })
}

/// Sums up the banks of the device's own memory: heaps 1 and 2, visible to the host or not.
fn own_memory(machine: &Machine, node: &str) -> Option<i64> {
    let banks = format!("{node}/mem_banks");
    let sizes = numbered(machine, &banks).filter_map(|bank| {
        let properties = machine.attribute(&format!("{banks}/{bank}/properties"))?;
        matches!(property(&properties, "heap_type"), Some(1 | 2))
            .then(|| property(&properties, "size_in_bytes"))
            .flatten()
    });
    let total = sizes.fold(0_u64, u64::saturating_add);
    i64::try_from(total).ok().filter(|&total| total > 0)
}

fn by_card(machine: &Machine) -> Vec<Device> {
    let device = |card: String| Device {
        chip: None,
        name: name(machine, &card),
        memory_bytes: machine
            .attribute(&format!("{card}/device/mem_info_vram_total"))
            .and_then(|text| bytes(&text)),
    };
    drm::cards(machine, VENDOR).into_iter().map(device).collect()
}

/// Reads the product name from the card; only server cards have one.
fn name(machine: &Machine, card: &str) -> Option<String> {
    machine.attribute(&format!("{card}/device/product_name"))
}

/// Returns the value of a line `simd_count 304`.
fn property(properties: &str, name: &str) -> Option<u64> {
    let mut lines = properties.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(key, _)| *key == name)?.1.trim().parse().ok()
}

/// Lists the names in a folder that are numbers, in their order.
fn numbered(machine: &Machine, folder: &str) -> impl Iterator<Item = u32> + use<> {
    let mut numbers: Vec<u32> =
        machine.names(folder).filter_map(|name| name.parse().ok()).take(MOST).collect();
    numbers.sort_unstable();
    numbers.into_iter()
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::Tree;
    use super::super::super::{Facts, Machine};
    use super::super::Accelerators;
    use super::super::listing::Vendor;
    use super::{Amd, NODES};

    const MI300X: i64 = 206_141_652_992;

    fn found(machine: &Machine) -> Option<Accelerators> {
        Amd.listing(machine, &Facts::default()).unwrap()?.summary()
    }

    /// A CPU and three devices, the last with less memory.
    fn topology() -> Tree {
        let mut tree = Tree::new()
            .file(&format!("{NODES}/0/properties"), "cpu_cores_count 96\nsimd_count 0\n")
            .file("/sys/module/amdgpu/version", "6.10.5\n");
        for (node, minor, memory) in [(2, 128, MI300X), (10, 136, MI300X), (11, 137, 1024)] {
            tree = tree
                .file(
                    &format!("{NODES}/{node}/properties"),
                    &format!("cpu_cores_count 0\nsimd_count 1216\ndrm_render_minor {minor}\n"),
                )
                .file(
                    &format!("{NODES}/{node}/mem_banks/0/properties"),
                    &format!("heap_type 1\nsize_in_bytes {memory}\nflags 0\n"),
                )
                .file(
                    &format!("{NODES}/{node}/mem_banks/1/properties"),
                    "heap_type 5\nsize_in_bytes 65536\n",
                )
                .file(
                    &format!("/sys/class/drm/renderD{minor}/device/product_name"),
                    &format!("AMD Instinct {node}\n"),
                );
        }
        tree
    }

    #[test]
    fn the_compute_topology_is_listed_in_its_order() {
        let tree = topology();
        let seen = found(&tree.machine()).unwrap();
        assert_eq!((seen.count, seen.memory_bytes), (Some(3), Some(MI300X)));
        assert_eq!(seen.name.as_deref(), Some("AMD Instinct 2"));
        assert_eq!((seen.mixed, seen.source.as_str()), (Some(true), "amd_sysfs"));
        assert_eq!(seen.driver_version.as_deref(), Some("6.10.5"));
    }

    #[test]
    fn variables_apply_one_after_the_other() {
        let tree = topology();
        let count = |environment: &[(&str, &str)]| {
            found(&tree.machine_with(environment)).map(|seen| (seen.count, seen.memory_bytes))
        };
        let whole = Some(MI300X);
        assert_eq!(count(&[("HIP_VISIBLE_DEVICES", "1")]), Some((Some(1), whole)));
        assert_eq!(count(&[("HIP_VISIBLE_DEVICES", "2,0")]), Some((Some(2), Some(1024))));
        assert_eq!(count(&[("CUDA_VISIBLE_DEVICES", "2")]), Some((Some(1), Some(1024))));
        let both = [("ROCR_VISIBLE_DEVICES", "2,0"), ("HIP_VISIBLE_DEVICES", "1")];
        assert_eq!(count(&both), Some((Some(1), whole)));
        let own = [("HIP_VISIBLE_DEVICES", "0"), ("CUDA_VISIBLE_DEVICES", "0,1")];
        assert_eq!(count(&own), Some((Some(1), whole)));
        assert_eq!(count(&[("HIP_VISIBLE_DEVICES", "-1")]), None);
        // Only ROCm understands these: there is neither a number nor a first device, because they differ.
        for list in ["GPU-1234", "", "0,GPU-1234"] {
            assert_eq!(count(&[("ROCR_VISIBLE_DEVICES", list)]), Some((None, None)), "{list:?}");
        }
    }

    #[test]
    fn cards_are_listed_without_a_topology() {
        let device = "/sys/class/drm/card1/device";
        let tree = Tree::new()
            .file(&format!("{device}/vendor"), "0x1002\n")
            .file(&format!("{device}/class"), "0x120000\n")
            .file(&format!("{device}/product_name"), "AMD Instinct MI210\n")
            .file(&format!("{device}/mem_info_vram_total"), "68702699520\n");
        let seen = found(&tree.machine()).unwrap();
        assert_eq!((seen.count, seen.memory_bytes), (Some(1), Some(68_702_699_520)));
        assert_eq!(seen.name.as_deref(), Some("AMD Instinct MI210"));
    }

    #[test]
    fn garbage_and_an_empty_machine_have_no_devices() {
        let tree = Tree::new()
            .bytes(&format!("{NODES}/1/properties"), b"simd_count many\n\xff\xff")
            .file(&format!("{NODES}/2/properties"), "simd_count\n")
            .file(&format!("{NODES}/none/properties"), "simd_count 4\n");
        assert_eq!(found(&tree.machine()), None);
        assert_eq!(found(&Tree::new().machine()), None);
    }
}
