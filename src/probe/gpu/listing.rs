//! One vendor's devices come in as a list, what a report says of them goes out.
//!
//! A report has room for the number of devices, and for name and memory of the first. What a
//! vendor cannot say for sure stays unknown: which device is first where the order is open
//! and devices differ, and how many there are where something else decides about that.

use super::super::{Facts, Machine};
use super::{AcceleratorSource, Accelerators};

/// One way of finding accelerators.
pub(super) trait Vendor: Sync {
    /// The devices this process sees.
    ///
    /// `None`: none of this vendor's are here. An empty list: they are, and are hidden from
    /// this process. `facts`: what is known of the machine already.
    fn listing(&self, machine: &Machine, facts: &Facts) -> Answer;

    /// Whether its driver is the kernel's own, which lists its cards in [`super::drm::CARDS`].
    fn is_kernels(&self) -> bool {
        false
    }
}

/// What a vendor says, unless it says nothing because its driver hangs.
pub(super) type Answer = Result<Option<Listing>, Hangs>;

/// An earlier call into the driver has not come back; it is not called again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hangs;

/// A device, or the slice of one, as the process sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) name: Option<String>,
    pub(super) memory_bytes: Option<i64>,
}

/// The devices a process sees, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) source: AcceleratorSource,
    pub(super) devices: Vec<Device>,
    /// Whether these are all the process sees, and no others; else their number is unknown.
    pub(super) counted: bool,
    /// Whether the first of them is the process's first.
    pub(super) ordered: bool,
    pub(super) driver_version: Option<String>,
    pub(super) driver_cuda: Option<String>,
}

impl Listing {
    /// Devices whose number and order are those of the process.
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

    /// The same list where something decides about it that is not understood here.
    pub(super) fn uncertain(mut self) -> Self {
        (self.counted, self.ordered) = (false, false);
        self
    }

    /// What a report says of these devices; `None` without any.
    pub(super) fn summary(self) -> Option<Accelerators> {
        let first = self.devices.first()?;
        let same_name = same(&self.devices, |device| device.name.as_ref());
        let same_memory = same(&self.devices, |device| device.memory_bytes.as_ref());
        let mixed = match (same_name, same_memory) {
            _ if self.devices.len() < 2 => None,
            // Others than those it sees may be among them.
            (Some(false), _) | (_, Some(false)) => self.counted.then_some(true),
            (Some(true), _) => Some(false),
            (None, _) => None,
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

/// Whether all devices agree; `None`: one of them does not say.
pub(super) fn same<T: PartialEq>(
    devices: &[Device],
    value: impl Fn(&Device) -> Option<&T>,
) -> Option<bool> {
    let values: Option<Vec<&T>> = devices.iter().map(&value).collect();
    values.map(|values| values.windows(2).all(|pair| pair.first() == pair.last()))
}

/// A number of bytes from a file; zero means that nothing is known.
pub(super) fn bytes(text: &str) -> Option<i64> {
    text.trim().parse().ok().filter(|&bytes: &i64| bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::{AcceleratorSource, Device, Listing, bytes};

    fn device(name: &str, memory_bytes: i64) -> Device {
        Device { name: Some(name.to_owned()), memory_bytes: Some(memory_bytes) }
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
    fn one_device_is_neither_mixed_nor_alike() {
        assert_eq!(listing(vec![device("a", 1)]).summary().unwrap().mixed, None);
        let two = listing(vec![device("a", 1), device("a", 1)]).summary().unwrap();
        assert_eq!(two.mixed, Some(false));
        let silent = listing(vec![Device::default(), Device::default()]).summary().unwrap();
        assert_eq!((silent.count, silent.mixed), (Some(2), None));
    }

    #[test]
    fn an_open_order_leaves_unknown_what_differs() {
        let alike = listing(vec![device("a", 1), device("a", 2)]).uncertain().summary().unwrap();
        assert_eq!((alike.count, alike.mixed), (None, None));
        assert_eq!((alike.name.as_deref(), alike.memory_bytes), (Some("a"), None));
    }

    #[test]
    fn bytes_are_a_number_above_zero() {
        assert_eq!(bytes("1024\n"), Some(1024));
        for text in ["0", "-1", "", "many", "99999999999999999999"] {
            assert_eq!(bytes(text), None, "{text:?}");
        }
    }
}
