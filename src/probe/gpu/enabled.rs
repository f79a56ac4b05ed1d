//! NVIDIA's management library, loaded while running, comes in as a driver that can be asked.
//!
//! It is absent on most machines, and then costs one failed lookup. A library without a
//! driver, a driver that is not loaded, a missing symbol: whatever it fails with, nothing is
//! known. A call that hangs is the caller's to abandon.

use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

use super::super::Machine;
use super::Accelerators;
use super::select::{Driver, describe};

/// Describes the devices this process sees; `None` without a driver or a visible device.
pub(in crate::probe) fn accelerators(machine: &Machine) -> Option<Accelerators> {
    if !machine.is_live() {
        return None;
    }
    let visible = machine.variable("CUDA_VISIBLE_DEVICES");
    by(Nvml::init(), visible, machine.variable("CUDA_DEVICE_ORDER"))
}

fn by(
    nvml: Result<Nvml, NvmlError>,
    visible: Option<&str>,
    order: Option<&str>,
) -> Option<Accelerators> {
    describe(&nvml.ok()?, visible, order)
}

impl Driver for Nvml {
    fn count(&self) -> Option<u32> {
        self.device_count().ok()
    }

    fn uuid(&self, device: u32) -> Option<String> {
        self.device_by_index(device).ok()?.uuid().ok()
    }

    fn name(&self, device: u32) -> Option<String> {
        name(&self.device_by_index(device).ok()?)
    }

    fn memory_bytes(&self, device: u32) -> Option<i64> {
        memory_bytes(&self.device_by_index(device).ok()?)
    }

    fn is_sliced(&self, device: u32) -> bool {
        // Devices that cannot be sliced answer with an error; 1 means that this one is.
        let mode = self.device_by_index(device).and_then(|device| device.mig_mode());
        mode.is_ok_and(|mode| mode.current == 1)
    }

    fn slice(&self, uuid: &str) -> Option<(Option<String>, Option<i64>)> {
        let slice = self.device_by_uuid(uuid).ok()?;
        Some((name(&slice), memory_bytes(&slice)))
    }
}

fn name(device: &Device<'_>) -> Option<String> {
    let name = device.name().ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

fn memory_bytes(device: &Device<'_>) -> Option<i64> {
    i64::try_from(device.memory_info().ok()?.total).ok().filter(|&bytes| bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::by;
    use nvml_wrapper::Nvml;

    #[test]
    fn a_library_that_is_not_there_is_nothing() {
        let nvml = Nvml::builder().lib_path("/nowhere/libnvidia-ml.so.1".as_ref()).init();
        assert!(nvml.is_err());
        assert_eq!(by(nvml, None, None), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_library_that_is_something_else_is_nothing() {
        let nvml = Nvml::builder().lib_path("libc.so.6".as_ref()).init();
        assert_eq!(by(nvml, None, None), None);
    }
}
