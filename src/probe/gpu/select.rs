//! A driver's devices and CUDA's variables come in, what a process would see of them goes out.
//!
//! CUDA is never asked itself: creating its context would keep children forked later from
//! using it. The rules are those of CUDA and of torch's own count without a context: a list
//! ends at its first bad entry, and one that names a device twice shows none. Where the
//! rules leave it open which device is first, its name and memory stay unknown.

use super::{AcceleratorSource, Accelerators};

/// Most devices asked for; the largest machines have 16, and NVML 64 at most.
const MOST_DEVICES: u32 = 256;

/// What is asked of a driver. Devices are numbered by their place on the bus.
pub(super) trait Driver {
    /// Number of devices, visible or not.
    fn count(&self) -> Option<u32>;
    /// Unique name of a device: `GPU-8f6d9c5e-…`.
    fn uuid(&self, device: u32) -> Option<String>;
    /// Name of a device.
    fn name(&self, device: u32) -> Option<String>;
    /// Total memory of a device in bytes.
    fn memory_bytes(&self, device: u32) -> Option<i64>;
    /// Whether a device is cut into slices (MIG).
    fn is_sliced(&self, device: u32) -> bool;
    /// Name and memory in bytes of one slice, by its unique name.
    fn slice(&self, uuid: &str) -> Option<(Option<String>, Option<i64>)>;
}

/// Describes what a process with these variables sees; `None` where that is nothing.
///
/// `visible`: `CUDA_VISIBLE_DEVICES`, `None` if not set. `order`: `CUDA_DEVICE_ORDER`.
pub(super) fn describe(
    driver: &dyn Driver,
    visible: Option<&str>,
    order: Option<&str>,
) -> Option<Accelerators> {
    let all = driver.count()?.min(MOST_DEVICES);
    let (devices, by_name) = match visible.map(str::trim) {
        None => ((0..all).collect(), false),
        Some(list) if list.starts_with("MIG-") => return slices(driver, list),
        Some(list) if list.starts_with("GPU-") => (by_uuid(driver, list, all), true),
        Some(list) => (by_number(list, all), false),
    };
    let (&first, others) = devices.split_first()?;
    let name = driver.name(first);
    // CUDA puts the fastest device first unless told to go by the bus, as the driver does.
    // That makes no difference where all are the same, or where one was named.
    let certain = by_name
        || order.map(str::trim) == Some("PCI_BUS_ID")
        || (0..all).all(|device| device == first || driver.name(device) == name);
    let sliced = driver.is_sliced(first);
    Some(Accelerators {
        // Of a device in slices CUDA shows one slice, which one is not for us to say.
        count: (!sliced && !others.iter().any(|&device| driver.is_sliced(device)))
            .then(|| i64::try_from(devices.len()).ok())
            .flatten(),
        name: name.filter(|_| certain),
        memory_bytes: if certain && !sliced { driver.memory_bytes(first) } else { None },
        runtime: None,
        source: AcceleratorSource::Nvml,
    })
}

/// Devices listed by number: `0,2`. Each entry counts up to its first character that is no
/// digit, as in C.
fn by_number(list: &str, all: u32) -> Vec<u32> {
    let mut devices = Vec::new();
    for entry in list.split(',') {
        let entry = entry.trim();
        let number = entry.strip_prefix('+').unwrap_or(entry);
        let digits = number.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        let Some(device) = digits.parse().ok().filter(|&device| device < all) else {
            break;
        };
        if devices.contains(&device) {
            return Vec::new();
        }
        devices.push(device);
    }
    devices
}

/// Devices listed by unique name, or by a beginning of it that fits one device only.
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

/// Slices listed by unique name. How many of several a process can use depends on the
/// driver, so that only one is counted.
fn slices(driver: &dyn Driver, list: &str) -> Option<Accelerators> {
    let mut entries = list.split(',').map(str::trim).take_while(|entry| entry.starts_with("MIG-"));
    let (name, memory_bytes) = driver.slice(entries.next()?)?;
    let count = if entries.next().is_none() { Some(1) } else { None };
    Some(Accelerators { count, name, memory_bytes, runtime: None, source: AcceleratorSource::Nvml })
}

#[cfg(test)]
mod tests {
    use super::{Accelerators, Driver, describe};

    /// A driver whose devices are a list of names; `MIG` in a name makes it a sliced one.
    struct Devices(&'static [&'static str]);

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
        fn name(&self, device: u32) -> Option<String> {
            self.at(device).map(str::to_owned)
        }
        fn memory_bytes(&self, device: u32) -> Option<i64> {
            self.at(device).and_then(|_| i64::from(device).checked_add(1000))
        }
        fn is_sliced(&self, device: u32) -> bool {
            self.at(device).is_some_and(|name| name.contains("MIG"))
        }
        fn slice(&self, uuid: &str) -> Option<(Option<String>, Option<i64>)> {
            (uuid == "MIG-1").then(|| (Some("H100 MIG 1g.10gb".to_owned()), Some(10)))
        }
    }

    const FOUR: Devices = Devices(&["H100", "H100", "H100", "H100"]);
    const MIXED: Devices = Devices(&["T4", "H100"]);

    fn seen(driver: &Devices, visible: &str) -> Option<(i64, i64)> {
        let found = describe(driver, Some(visible), None)?;
        Some((found.count.unwrap(), found.memory_bytes.unwrap()))
    }

    #[test]
    fn without_the_variable_all_are_seen() {
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
    fn which_of_different_devices_is_first_is_known_only_if_told() {
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
    fn a_slice_is_never_reported_as_the_whole_device() {
        let whole = describe(&Devices(&["H100 MIG", "H100 MIG"]), None, None).unwrap();
        assert_eq!((whole.count, whole.memory_bytes), (None, None));
        let one = describe(&FOUR, Some("MIG-1"), None).unwrap();
        assert_eq!((one.count, one.memory_bytes), (Some(1), Some(10)));
        assert_eq!(one.name.as_deref(), Some("H100 MIG 1g.10gb"));
        let two = describe(&FOUR, Some("MIG-1,MIG-2"), None).unwrap();
        assert_eq!((two.count, two.memory_bytes), (None, Some(10)));
        assert_eq!(describe(&FOUR, Some("MIG-9"), None), None::<Accelerators>);
    }
}
