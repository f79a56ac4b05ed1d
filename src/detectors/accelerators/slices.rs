//! Lists the slices (MIG) that a process sees of NVIDIA's devices.
//!
//! A slice has its own name and memory. If it is open which slice the process gets, both are unknown:
//! the whole device is something else, and much larger.

use super::AcceleratorSource;
use super::driver::{Driver, Slice};
use super::listing::{Device, Listing};

/// Lists devices of which one or more are sliced. CUDA then shows slices and not the whole device. Of
/// several slices it does not show all, and which ones is unknown.
pub(super) fn of_devices(driver: &dyn Driver, chosen: &[u32]) -> Listing {
    let slices: Option<Vec<Vec<Slice>>> = chosen
        .iter()
        .map(|&device| if driver.is_sliced(device) { driver.slices(device) } else { None })
        .collect();
    let devices: Option<Vec<Device>> =
        slices.map(|slices| slices.into_iter().flatten().map(|slice| slice.device).collect());
    match devices {
        Some(devices) if devices.len() < 2 => Listing::new(AcceleratorSource::Nvml, devices),
        Some(devices) => Listing::new(AcceleratorSource::Nvml, devices).uncertain(),
        None => Listing::new(AcceleratorSource::Nvml, vec![Device::default()]).uncertain(),
    }
}

/// Lists slices by unique names, or by beginnings that fit one slice only. How many of several slices
/// a process can use depends on the driver, so several are not counted.
pub(super) fn by_name(driver: &dyn Driver, list: &str, all: u32) -> Listing {
    let known: Vec<Slice> = (0..all).filter_map(|device| driver.slices(device)).flatten().collect();
    let entries = list.split(',').map(str::trim);
    let entries = entries.take_while(|entry| entry.len() > 4 && entry.starts_with("MIG-"));
    let found = entries.map_while(|entry| {
        let mut fitting = known.iter().filter(|slice| slice.uuid.starts_with(entry));
        match (fitting.next(), fitting.next()) {
            (Some(slice), None) => Some(slice.device.clone()),
            (None, _) => driver.slice(entry),
            _ => None,
        }
    });
    let devices: Vec<Device> = found.collect();
    let counted = devices.len() < 2;
    Listing { counted, ..Listing::new(AcceleratorSource::Nvml, devices) }
}

#[cfg(test)]
mod tests {
    use super::super::select::tests::{Devices, describe};

    #[test]
    fn a_slice_is_not_reported_as_the_whole_device() {
        // A driver that does not list its slices.
        let whole = describe(&Devices(&["H100 MIG", "H100 MIG"]), None, None).unwrap();
        assert_eq!((whole.count, whole.name, whole.memory_bytes), (None, None, None));
        // The one slice a container was given.
        let one = describe(&Devices(&["H100 MIG 1"]), None, None).unwrap();
        assert_eq!((one.count, one.memory_bytes), (Some(1), Some(10)));
        assert_eq!(one.name.as_deref(), Some("H100 MIG 1g.10gb"));
        let chosen = describe(&Devices(&["H100", "H100 MIG 1"]), Some("1"), None).unwrap();
        assert_eq!((chosen.count, chosen.memory_bytes), (Some(1), Some(10)));
        // CUDA decides which of several, and how many.
        let two = describe(&Devices(&["H100 MIG 2"]), None, None).unwrap();
        assert_eq!((two.count, two.memory_bytes), (None, None));
        assert_eq!(two.name.as_deref(), Some("H100 MIG 1g.10gb"));
        let beside = describe(&Devices(&["H100", "H100 MIG 1"]), None, None).unwrap();
        assert_eq!((beside.count, beside.memory_bytes), (None, None));
        assert_eq!(describe(&Devices(&["H100 MIG 0"]), None, None), None, "cut, without a slice");
    }

    #[test]
    fn slices_are_chosen_by_unique_name_or_its_beginning() {
        let cut = Devices(&["H100 MIG 2", "H100 MIG 1"]);
        let memory = |list| {
            describe(&cut, Some(list), None).map(|seen| (seen.count, seen.memory_bytes.unwrap()))
        };
        assert_eq!(memory("MIG-01"), Some((Some(1), 11)));
        assert_eq!(memory("MIG-1"), Some((Some(1), 10)));
        assert_eq!(memory("MIG-GPU-0/1/0"), Some((Some(1), 17)));
        assert_eq!(memory("MIG-01,MIG-10"), Some((None, 11)));
        assert_eq!(memory("MIG-01,MIG-9"), Some((Some(1), 11)));
        for none in ["MIG-", "MIG-0", "MIG-9", "MIG-9,MIG-01"] {
            assert_eq!(memory(none), None, "{none:?}");
        }
    }
}
