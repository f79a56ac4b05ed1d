//! The questions to NVIDIA's driver, as a trait, so that the rules can be tested without one.

use super::listing::Device;

/// A driver that can be asked. Devices are numbered by their place on the bus.
pub(super) trait Driver {
    /// Returns the number of devices, visible or not.
    fn count(&self) -> Option<u32>;
    /// Returns the unique name of a device: `GPU-8f6d9c5e-…`.
    fn uuid(&self, device: u32) -> Option<String>;
    /// Returns name and memory of a whole device.
    fn device(&self, device: u32) -> Device;
    /// Returns whether a device is divided into slices (MIG).
    fn is_sliced(&self, device: u32) -> bool;
    /// Returns the slices of a device that this process may use, or `None` if it cannot list them.
    fn slices(&self, device: u32) -> Option<Vec<Slice>>;
    /// Returns one slice by its unique name.
    fn slice(&self, uuid: &str) -> Option<Device>;
    /// Returns the driver's version.
    fn version(&self) -> Option<String>;
    /// Returns the newest CUDA version that the driver supports.
    fn cuda(&self) -> Option<String>;
}

/// A part of a device with its own unique name: `MIG-8f6d9c5e-…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) uuid: String,
    pub(super) device: Device,
}
