//! Asks NVIDIA's management library, which is loaded at run time.
//!
//! Most machines do not have it, which costs one failed lookup. After any failure (no driver, a driver
//! that is not loaded, a missing symbol) nothing is known. If a call hangs, the caller stops waiting,
//! and no further call is made: the thread cannot be ended, and each call would cost another one.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Nvml, cuda_driver_version_major, cuda_driver_version_minor};

use super::super::files::filled;
use super::super::{Facts, Machine};
use super::driver::{Driver, Slice};
use super::listing::{Device, DriverTimeout, Listed, Listing, Vendor};
use super::select::describe;

/// Time that another `Usage` of this process has for its answer before the driver counts as hanging.
/// It is less than the deadline for accelerators, so that the caller still gets the result.
const TURN: Duration = Duration::from_secs(2);

/// Most slices of one device; there are 7.
const MOST_SLICES: u32 = 32;

pub(super) struct Nvidia;

impl Vendor for Nvidia {
    fn listing(&self, machine: &Machine, _facts: &Facts) -> Listed {
        if !machine.is_live() {
            return Ok(None);
        }
        let _turn = ASKING.take(TURN)?;
        let visible = machine.variable("CUDA_VISIBLE_DEVICES");
        Ok(by(Nvml::init(), visible, machine.variable("CUDA_DEVICE_ORDER")))
    }
}

fn by(
    nvml: Result<Nvml, NvmlError>,
    visible: Option<&str>,
    order: Option<&str>,
) -> Option<Listing> {
    describe(&nvml.ok()?, visible, order)
}

/// Whether a thread of this process is inside the library.
static ASKING: Turns = Turns { taken: Mutex::new(false), given: Condvar::new() };

/// A lock that is not handed on while its holder is stuck in the driver.
struct Turns {
    taken: Mutex<bool>,
    given: Condvar,
}

/// Holds the lock until it is dropped, also by a panic.
struct Turn<'a>(&'a Turns);

impl Turns {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, wait: Duration) -> Result<Turn<'_>, DriverTimeout> {
        let waited = self.given.wait_timeout_while(self.lock(), wait, |taken| *taken);
        let (mut taken, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if *taken {
            return Err(DriverTimeout);
        }
        *taken = true;
        Ok(Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.lock() = false;
        self.0.given.notify_one();
    }
}

impl Driver for Nvml {
    fn count(&self) -> Option<u32> {
        self.device_count().ok()
    }

    fn uuid(&self, device: u32) -> Option<String> {
        self.device_by_index(device).ok()?.uuid().ok()
    }

    fn device(&self, device: u32) -> Device {
        self.device_by_index(device).map(|device| described(&device)).unwrap_or_default()
    }

    fn is_sliced(&self, device: u32) -> bool {
        // Devices that cannot be sliced answer with an error; 1 means that this one is.
        let mode = self.device_by_index(device).and_then(|device| device.mig_mode());
        mode.is_ok_and(|mode| mode.current == 1)
    }

    fn slices(&self, device: u32) -> Option<Vec<Slice>> {
        let device = self.device_by_index(device).ok()?;
        let most = device.mig_device_count().ok()?.min(MOST_SLICES);
        let slices = (0..most).filter_map(|place| {
            // Places that are not taken answer with an error.
            let slice = device.mig_device_by_index(place).ok()?;
            Some(Slice { uuid: slice.uuid().ok()?, device: described(&slice) })
        });
        Some(slices.collect())
    }

    fn slice(&self, uuid: &str) -> Option<Device> {
        self.device_by_uuid(uuid).ok().map(|slice| described(&slice))
    }

    fn version(&self) -> Option<String> {
        self.sys_driver_version().ok().and_then(|version| filled(&version))
    }

    fn cuda(&self) -> Option<String> {
        let version = self.sys_cuda_driver_version().ok().filter(|&version| version > 0)?;
        let (major, minor) =
            (cuda_driver_version_major(version), cuda_driver_version_minor(version));
        Some(format!("{major}.{minor}"))
    }
}

fn described(device: &nvml_wrapper::Device<'_>) -> Device {
    Device {
        chip: None,
        name: device.name().ok().and_then(|name| filled(&name)),
        // The wrapper offers only the newer call, since driver 510; memory of older drivers is unknown.
        memory_bytes: device
            .memory_info()
            .ok()
            .and_then(|memory| i64::try_from(memory.total).ok())
            .filter(|&bytes| bytes > 0),
    }
}

#[cfg(test)]
mod tests {
    use super::{DriverTimeout, Turns, by};
    use nvml_wrapper::Nvml;
    use std::sync::{Condvar, Mutex};
    use std::time::Duration;

    #[test]
    fn a_missing_library_has_no_devices() {
        let nvml = Nvml::builder().lib_path("/nowhere/libnvidia-ml.so.1".as_ref()).init();
        assert!(nvml.is_err());
        assert_eq!(by(nvml, None, None), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn another_library_has_no_devices() {
        let nvml = Nvml::builder().lib_path("libc.so.6".as_ref()).init();
        assert_eq!(by(nvml, None, None), None);
    }

    #[test]
    fn the_lock_is_refused_while_its_holder_is_stuck() {
        let turns = Turns { taken: Mutex::new(false), given: Condvar::new() };
        let first = turns.take(Duration::ZERO).unwrap();
        assert_eq!(turns.take(Duration::from_millis(1)).err(), Some(DriverTimeout));
        std::thread::scope(|scope| {
            let second = scope.spawn(|| turns.take(Duration::from_secs(120)).is_ok());
            drop(first);
            assert!(second.join().unwrap(), "the lock is free again");
        });
        assert!(turns.take(Duration::ZERO).is_ok());
    }
}
