//! Chooses the devices that a process sees, by a driver's list and CUDA's variables.
//!
//! CUDA itself is never asked: creating its context would keep children that fork later from using
//! it. The rules are those of CUDA and of torch's own count without a context: a list ends at its
//! first bad entry, and a list with a device twice shows none. If the rules leave open which device
//! is first, its name and memory are unknown.

use super::driver::Driver;
use super::listing::{Device, Listing, same};
use super::slices::{by_name, of_devices};
use super::{AcceleratorSource, visible};

/// Most devices that are asked for; the largest machines have 16, and NVML 64 at most.
const MOST_DEVICES: u32 = 256;

/// Lists what a process with these variables sees. Returns `None` if the driver does not answer.
///
/// `visible`: `CUDA_VISIBLE_DEVICES`, `None` if not set. `order`: `CUDA_DEVICE_ORDER`.
pub(super) fn describe(
    driver: &dyn Driver,
    visible: Option<&str>,
    order: Option<&str>,
) -> Option<Listing> {
    let all = driver.count()?.min(MOST_DEVICES);
    let mut listing = match visible.map(str::trim) {
        Some(list) if list.starts_with("MIG-") => by_name(driver, list, all),
        visible => by_device(driver, visible, order, all),
    };
    if !listing.devices.is_empty() {
        listing.driver_version = driver.version();
        listing.driver_cuda = driver.cuda();
    }
    Some(listing)
}

fn by_device(driver: &dyn Driver, visible: Option<&str>, order: Option<&str>, all: u32) -> Listing {
    let (chosen, by_name) = match visible {
        None => ((0..all).collect(), false),
        Some(list) if list.starts_with("GPU-") => (by_uuid(driver, list, all), true),
        Some(list) => (by_number(list, all), false),
    };
    if chosen.iter().any(|&device| driver.is_sliced(device)) {
        return of_devices(driver, &chosen);
    }
    let devices = chosen.iter().map(|&device| driver.device(device)).collect();
    let listing = Listing::new(AcceleratorSource::Nvml, devices);
    // CUDA puts the fastest device first unless a variable asks for the order of the bus, which is the
    // driver's. Both are the same if devices were chosen by name, or if all are alike.
    if by_name || order.map(str::trim) == Some("PCI_BUS_ID") || all < 2 || chosen.is_empty() {
        return listing;
    }
    let every: Vec<Device> = (0..all).map(|device| driver.device(device)).collect();
    if same(&every, |device| device.name.as_ref()) == Some(true) {
        return listing;
    }
    if chosen.len() == every.len() {
        return Listing { ordered: false, ..listing };
    }
    // Each number may stand for any of them.
    let devices = vec![Device::default(); chosen.len()];
    Listing { devices, ..listing }
}

/// Returns the devices of a list of numbers.
fn by_number(list: &str, all: u32) -> Vec<u32> {
    let all = usize::try_from(all).unwrap_or_default();
    visible::numbers(list, all).into_iter().filter_map(|place| u32::try_from(place).ok()).collect()
}

/// Returns the devices of a list of unique names, or of beginnings that fit one device only.
fn by_uuid(driver: &dyn Driver, list: &str, all: u32) -> Vec<u32> {
    let known: Vec<Option<String>> = (0..all).map(|device| driver.uuid(device)).collect();
    let mut devices = Vec::new();
    for entry in list.split(',') {
        let entry = entry.trim();
        let mut fitting = (0..all).zip(&known).filter(|(_, uuid)| {
            entry.starts_with("GPU-") && uuid.as_ref().is_some_and(|uuid| uuid.starts_with(entry))
        });
        let (Some((device, _)), None) = (fitting.next(), fitting.next()) else {
            break;
        };
        if devices.contains(&device) {
            return Vec::new();
        }
        devices.push(device);
    }
    devices
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Accelerators;
    use super::super::driver::{Driver, Slice};
    use super::Device;

    pub(in super::super) fn describe(
        driver: &Devices,
        visible: Option<&str>,
        order: Option<&str>,
    ) -> Option<Accelerators> {
        super::describe(driver, visible, order)?.summary()
    }

    /// A driver whose devices are a list of names; `MIG` in a name makes it a sliced one.
    pub(in super::super) struct Devices(pub(in super::super) &'static [&'static str]);

    impl Devices {
        fn at(&self, device: u32) -> Option<&'static str> {
            self.0.get(usize::try_from(device).unwrap()).copied()
        }
    }

    impl Driver for Devices {
        fn count(&self) -> Option<u32> {
            u32::try_from(self.0.len()).ok()
        }
        fn uuid(&self, device: u32) -> Option<String> {
            self.at(device).map(|_| format!("GPU-{device}abc"))
        }
        fn device(&self, device: u32) -> Device {
            let memory_bytes = self.at(device).and_then(|_| i64::from(device).checked_add(1000));
            Device { name: self.at(device).map(str::to_owned), memory_bytes, ..Device::default() }
        }
        fn is_sliced(&self, device: u32) -> bool {
            self.at(device).is_some_and(|name| name.contains("MIG"))
        }
        fn slices(&self, device: u32) -> Option<Vec<Slice>> {
            let name = self.at(device)?;
            let (_, count) = name.split_once("MIG")?;
            // Without a number of slices it is a driver that cannot list them.
            let count: u32 = count.trim().parse().ok()?;
            let slice =
                |place| Slice { uuid: format!("MIG-{device}{place}"), device: slice(place) };
            Some((0..count).map(slice).collect())
        }
        fn slice(&self, uuid: &str) -> Option<Device> {
            (uuid == "MIG-GPU-0/1/0").then(|| slice(7))
        }
        fn version(&self) -> Option<String> {
            Some("570.1".to_owned())
        }
        fn cuda(&self) -> Option<String> {
            Some("12.8".to_owned())
        }
    }

    fn slice(place: u32) -> Device {
        Device {
            name: Some("H100 MIG 1g.10gb".to_owned()),
            memory_bytes: i64::from(place).checked_add(10),
            ..Device::default()
        }
    }

    pub(in super::super) const FOUR: Devices = Devices(&["H100", "H100", "H100", "H100"]);
    const MIXED: Devices = Devices(&["T4", "H100"]);

    fn seen(driver: &Devices, visible: &str) -> Option<(i64, i64)> {
        let found = describe(driver, Some(visible), None)?;
        Some((found.count.unwrap(), found.memory_bytes.unwrap()))
    }

    #[test]
    fn without_the_variable_all_devices_are_seen() {
        let found = describe(&FOUR, None, None).unwrap();
        assert_eq!((found.count, found.memory_bytes), (Some(4), Some(1000)));
        assert_eq!(found.name.as_deref(), Some("H100"));
        assert_eq!(found.source.as_str(), "nvml");
        assert_eq!(describe(&Devices(&[]), None, None), None);
    }

    #[test]
    fn numbers_choose_and_the_first_bad_one_ends_the_list() {
        for (visible, expected) in [
            ("0", Some((1, 1000))),
            ("2,0", Some((2, 1002))),
            (" 3 , 1 ", Some((2, 1003))),
            ("1,-1,2", Some((1, 1001))),
            ("1,9,2", Some((1, 1001))),
            ("1gpu,+2", Some((2, 1001))),
            ("", None),
            ("-1", None),
            ("none", None),
            ("7", None),
            ("99999999999999999999", None),
            ("1,1", None),
        ] {
            assert_eq!(seen(&FOUR, visible), expected, "{visible:?}");
        }
    }

    #[test]
    fn unique_names_choose_by_a_beginning_that_fits_one() {
        for (visible, expected) in [
            ("GPU-2abc", Some((1, 1002))),
            ("GPU-3,GPU-0abc", Some((2, 1003))),
            ("GPU-1,1,GPU-2", Some((1, 1001))),
            ("GPU-1,GPU-9,GPU-2", Some((1, 1001))),
            ("GPU-", None),
            ("GPU-9", None),
            ("GPU-1,GPU-1abc", None),
        ] {
            assert_eq!(seen(&FOUR, visible), expected, "{visible:?}");
        }
    }

    #[test]
    fn the_first_of_different_devices_is_known_only_by_bus_order_or_name() {
        let unknown = describe(&MIXED, None, None).unwrap();
        assert_eq!((unknown.count, unknown.name, unknown.memory_bytes), (Some(2), None, None));
        let by_bus = describe(&MIXED, None, Some("PCI_BUS_ID")).unwrap();
        assert_eq!(by_bus.name.as_deref(), Some("T4"));
        let by_name = describe(&MIXED, Some("GPU-1"), None).unwrap();
        assert_eq!((by_name.name.as_deref(), by_name.memory_bytes), (Some("H100"), Some(1001)));
        // The one device that number 0 stands for may be either.
        let by_number = describe(&MIXED, Some("0"), None).unwrap();
        assert_eq!((by_number.count, by_number.name), (Some(1), None));
    }

    #[test]
    fn several_different_devices_are_mixed() {
        assert_eq!(describe(&MIXED, None, None).unwrap().mixed, Some(true));
        assert_eq!(describe(&MIXED, Some("0"), None).unwrap().mixed, None);
        let three = Devices(&["T4", "H100", "T4"]);
        let two = describe(&three, Some("0,2"), None).unwrap();
        assert_eq!((two.count, two.mixed, two.name), (Some(2), None, None));
        let two = describe(&three, Some("0,1"), Some("PCI_BUS_ID")).unwrap();
        assert_eq!((two.mixed, two.name.as_deref()), (Some(true), Some("T4")));
    }

    #[test]
    fn the_drivers_versions_come_with_its_devices() {
        let found = describe(&FOUR, Some("0"), None).unwrap();
        assert_eq!(found.driver_version.as_deref(), Some("570.1"));
        assert_eq!(found.driver_cuda.as_deref(), Some("12.8"));
        assert_eq!(found.runtime, None, "the framework's version is another thing");
    }
}
