//! Sums up a vendor's list of devices: their number, and name and memory of the first.
//!
//! Whatever a vendor cannot know stays unknown: which of different devices is first if their order is
//! open, and how many there are if something else decides about that.

use super::super::{Facts, Machine};
use super::{AcceleratorSource, Accelerators};

/// One way of finding accelerators.
pub(super) trait Vendor: Sync {
    /// Lists the devices that this process sees.
    ///
    /// Returns `None` if the machine has no device of this vendor, and an empty list if all are hidden
    /// from this process. `facts`: the facts that are known so far.
    fn listing(&self, machine: &Machine, facts: &Facts) -> Listed;

    /// Returns whether the driver is part of the kernel, which lists its cards in [`super::drm::CARDS`].
    fn is_kernels(&self) -> bool {
        false
    }
}

/// A vendor's devices, if it has any here and its driver answers.
pub(super) type Listed = Result<Option<Listing>, DriverTimeout>;

/// An earlier call into the driver has not returned; the driver is not called again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DriverTimeout;

/// A device, or the slice of one, as the process sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Device {
    /// Number of the device and of its architecture, where the driver tells them.
    pub(super) chip: Option<(u64, u64)>,
    pub(super) name: Option<String>,
    pub(super) memory_bytes: Option<i64>,
}

/// The devices a process sees, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) source: AcceleratorSource,
    pub(super) devices: Vec<Device>,
    /// Whether these are exactly the devices that the process sees; else their number is unknown.
    pub(super) counted: bool,
    /// Whether the first of them is the first of the process.
    pub(super) ordered: bool,
    pub(super) driver_version: Option<String>,
    pub(super) driver_cuda: Option<String>,
}

impl Listing {
    /// Creates a list with the number and order that the process sees.
    pub(super) fn new(source: AcceleratorSource, devices: Vec<Device>) -> Self {
        Self {
            source,
            devices,
            counted: true,
            ordered: true,
            driver_version: None,
            driver_cuda: None,
        }
    }

    /// Marks number and order as unknown because something decides about them that is not understood.
    pub(super) fn uncertain(mut self) -> Self {
        (self.counted, self.ordered) = (false, false);
        self
    }

    /// Sums up the devices. Returns `None` without any.
    pub(super) fn summary(self) -> Option<Accelerators> {
        let first = self.devices.first()?;
        let same_name = same(&self.devices, |device| device.name.as_ref());
        let same_chip = same(&self.devices, |device| device.chip.as_ref());
        let same_memory = same(&self.devices, |device| device.memory_bytes.as_ref());
        let signs = [same_chip, same_name, similar_memory(&self.devices)];
        let mixed = match signs {
            _ if self.devices.len() < 2 => None,
            // The process may not see all of them.
            signs if signs.contains(&Some(false)) => self.counted.then_some(true),
            // Equal memory alone does not make two devices equal.
            [Some(true), ..] | [_, Some(true), _] => Some(false),
            _ => None,
        };
        let name_known = self.ordered || same_name == Some(true);
        let memory_known = self.ordered || same_memory == Some(true);
        Some(Accelerators {
            count: self.counted.then(|| i64::try_from(self.devices.len()).ok()).flatten(),
            name: first.name.clone().filter(|_| name_known),
            memory_bytes: first.memory_bytes.filter(|_| memory_known),
            mixed,
            driver_version: self.driver_version,
            driver_cuda: self.driver_cuda,
            runtime: None,
            source: self.source,
        })
    }
}

/// Returns whether all devices have the same value, or `None` if one has none.
pub(super) fn same<T: PartialEq>(
    devices: &[Device],
    value: impl Fn(&Device) -> Option<&T>,
) -> Option<bool> {
    let values: Option<Vec<&T>> = devices.iter().map(&value).collect();
    values.map(|values| values.windows(2).all(|pair| pair.first() == pair.last()))
}

/// Returns whether the memory of all devices differs by a sixteenth at most, or `None` if one's is unknown.
///
/// Equal devices, and the partitions of one, can differ by a few megabytes that firmware or driver reserve.
fn similar_memory(devices: &[Device]) -> Option<bool> {
    let sizes: Option<Vec<i64>> = devices.iter().map(|device| device.memory_bytes).collect();
    let sizes = sizes?;
    let (least, most) = (sizes.iter().min()?, sizes.iter().max()?);
    Some(most.saturating_sub(*least) <= most.checked_div(16)?)
}

/// Parses a number of bytes; zero means unknown.
pub(super) fn bytes(text: &str) -> Option<i64> {
    text.trim().parse().ok().filter(|&bytes: &i64| bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::{AcceleratorSource, Device, Listing, bytes};

    fn device(name: &str, memory_bytes: i64) -> Device {
        Device {
            name: Some(name.to_owned()),
            memory_bytes: Some(memory_bytes),
            ..Device::default()
        }
    }

    fn listing(devices: Vec<Device>) -> Listing {
        Listing::new(AcceleratorSource::Nvml, devices)
    }

    #[test]
    fn the_first_is_named_and_all_are_counted() {
        let seen = listing(vec![device("a", 1), device("b", 2)]).summary().unwrap();
        assert_eq!((seen.count, seen.name.as_deref()), (Some(2), Some("a")));
        assert_eq!((seen.memory_bytes, seen.mixed), (Some(1), Some(true)));
        assert_eq!(listing(Vec::new()).summary(), None);
    }

    #[test]
    fn one_device_is_neither_mixed_nor_uniform() {
        assert_eq!(listing(vec![device("a", 1)]).summary().unwrap().mixed, None);
        let two = listing(vec![device("a", 1), device("a", 1)]).summary().unwrap();
        assert_eq!(two.mixed, Some(false));
        let silent = listing(vec![Device::default(), Device::default()]).summary().unwrap();
        assert_eq!((silent.count, silent.mixed), (Some(2), None));
    }

    #[test]
    fn parts_of_one_chip_are_not_mixed_because_of_a_reserved_piece() {
        const WHOLE: i64 = 51_539_607_552;
        let part = |chip: (u64, u64), memory_bytes: i64| Device {
            chip: Some(chip),
            memory_bytes: Some(memory_bytes),
            ..Device::default()
        };
        let chip = (29_858, 90_402);
        let mixed = |others: &[Device]| {
            let mut devices = vec![part(chip, WHOLE)];
            devices.extend_from_slice(others);
            listing(devices).summary().unwrap().mixed
        };
        assert_eq!(mixed(&[part(chip, WHOLE), part(chip, WHOLE - (16 << 20))]), Some(false));
        assert_eq!(mixed(&[Device { memory_bytes: None, ..part(chip, 0) }]), Some(false));
        assert_eq!(mixed(&[part((29_857, 90_402), WHOLE)]), Some(true), "another device id");
        assert_eq!(mixed(&[part((29_858, 90_500), WHOLE)]), Some(true), "another architecture");
        assert_eq!(mixed(&[part(chip, WHOLE / 4)]), Some(true), "a smaller partition");
        // Without chip and name, equal or nearly equal memory tells nothing.
        let unnamed =
            |memory_bytes| Device { memory_bytes: Some(memory_bytes), ..Device::default() };
        let two = |other| listing(vec![unnamed(WHOLE), unnamed(other)]).summary().unwrap().mixed;
        assert_eq!([two(WHOLE), two(WHOLE - 1), two(WHOLE / 2)], [None, None, Some(true)]);
        let named = [device("a", WHOLE), device("a", WHOLE - (16 << 20))];
        assert_eq!(listing(named.to_vec()).summary().unwrap().mixed, Some(false));
    }

    #[test]
    fn values_that_differ_are_unknown_if_the_order_is_open() {
        let alike = listing(vec![device("a", 1), device("a", 2)]).uncertain().summary().unwrap();
        assert_eq!((alike.count, alike.mixed), (None, None));
        assert_eq!((alike.name.as_deref(), alike.memory_bytes), (Some("a"), None));
    }

    #[test]
    fn bytes_are_a_positive_number() {
        assert_eq!(bytes("1024\n"), Some(1024));
        for text in ["0", "-1", "", "many", "99999999999999999999"] {
            assert_eq!(bytes(text), None, "{text:?}");
        }
    }
}
