//! Describes the accelerators that this process sees: their number, name and memory.
//!
//! An engine's own description always wins, and nothing is asked then: receivers hold the numbers of
//! its framework, and a driver counts differently. Else the vendors are asked one after the other.
//! The first one with devices here decides, even if this process may use none of them.
//!
//! | file | vendor | reads |
//! | --- | --- | --- |
//! | `nvml` | NVIDIA, with the feature `gpu` | the driver's library |
//! | `driver`, `select`, `slices` | | the rules for its devices, without a driver |
//! | `tpu` | Google | device files, TPU variables |
//! | `amd` | AMD | the kernel's compute topology, else its graphics cards |
//! | `intel` | Intel | the kernel's graphics cards |
//! | `apple` | Apple | facts about the processor |
//! | `listing`, `visible`, `drm` | | what they share |

mod amd;
mod apple;
#[cfg(any(feature = "gpu", test))]
mod driver;
mod drm;
mod intel;
mod listing;
#[cfg(feature = "gpu")]
mod nvml;
#[cfg(any(feature = "gpu", test))]
mod select;
#[cfg(any(feature = "gpu", test))]
mod slices;
mod tpu;
mod visible;

use listing::Vendor;

use super::trace::{Answer, Asked};
use super::{Facts, Machine, Reader};

/// The vendors in the order in which they are asked.
static VENDORS: &[&dyn Vendor] = &[
    #[cfg(feature = "gpu")]
    &nvml::Nvidia,
    &tpu::Google,
    &amd::Amd,
    &intel::Intel,
    &apple::Apple,
];

/// Exists if NVIDIA's driver is loaded.
const NVIDIA: &str = "/proc/driver/nvidia/version";

pub(super) const READER: Reader = Reader {
    name: "accelerators",
    read: |machine, facts| {
        facts.accelerators = find(machine, facts);
        if machine.is_live() {
            let there = facts.accelerators.is_some();
            machine.note(Asked::Call, "accelerator driver", || Answer::there(there));
        }
    },
};

/// Describes the accelerators that this process sees. Returns `None` without any.
///
/// `facts`: the facts that are known so far.
pub(super) fn find(machine: &Machine, facts: &Facts) -> Option<Accelerators> {
    // Drivers of AMD and Intel are part of the kernel, which lists their cards in one folder.
    let cards = std::cell::LazyCell::new(|| machine.may_hold(drm::CARDS));
    let asked = VENDORS.iter().filter(|vendor| !vendor.is_kernels() || *cards);
    let listed = asked.map(|vendor| vendor.listing(machine, facts)).find(|one| *one != Ok(None))?;
    let Ok(listing) = listed else {
        return Some(Accelerators::timed_out());
    };
    let listing = listing?;
    // Beside NVIDIA's driver, the graphics part of a processor is not the accelerator. That is also
    // true if this build does not ask the driver.
    let is_graphics =
        matches!(listing.source, AcceleratorSource::AmdSysfs | AcceleratorSource::IntelSysfs);
    if is_graphics && machine.exists(NVIDIA) {
        return None;
    }
    listing.summary()
}

/// Accelerators as the engine's framework sees them, or as the driver reports them.
///
/// A value is `None` if its source does not know it; no value is a guess.
#[derive(Debug, Clone, Default, PartialEq)]
#[cfg_attr(test, derive(serde::Serialize))]
#[non_exhaustive]
pub struct Accelerators {
    /// Devices visible to the process.
    ///
    /// Unit: devices. Absent if the driver cannot tell what the process would see.
    pub count: Option<i64>,
    /// Name of the first visible device: `NVIDIA H100 80GB HBM3`.
    pub name: Option<String>,
    /// Total memory of the first visible device, or of the slice of it that is visible.
    ///
    /// Unit: bytes. A framework reports less than the driver, which counts reserved memory, too.
    pub memory_bytes: Option<i64>,
    /// Whether the visible devices differ: in the number of device and architecture, in name, or in
    /// memory by more than a sixteenth. Absent: fewer than two, or unknown. Only drivers know it.
    pub mixed: Option<bool>,
    /// The driver's version: `570.124.06`.
    pub driver_version: Option<String>,
    /// The newest CUDA version that the driver supports: `12.8`; not the framework's version.
    pub driver_cuda: Option<String>,
    /// The runtime for which the engine's framework was built. Only the engine knows it.
    pub runtime: Option<Runtime>,
    /// Where this description comes from.
    pub source: AcceleratorSource,
}

/// A framework's accelerator runtime and its version, as the framework spells it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
#[non_exhaustive]
pub enum Runtime {
    /// CUDA: `13.0`. On TPU, vLLM has `tpu_inference` here.
    Cuda(String),
    /// Intel's XPU runtime: `20250302`.
    Xpu(String),
}

/// The source of a description of accelerators.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[cfg_attr(test, derive(serde::Serialize))]
#[non_exhaustive]
pub enum AcceleratorSource {
    /// The engine, in its framework's numbers.
    #[default]
    Engine,
    /// NVIDIA's management library, in the driver's numbers.
    Nvml,
    /// AMD's devices as the kernel lists them.
    AmdSysfs,
    /// Intel's devices as the kernel lists them.
    IntelSysfs,
    /// Google's TPUs, by device files and environment.
    Tpu,
    /// The graphics part of Apple's own processors.
    Apple,
    /// None: the driver did not answer in time, so there may be accelerators.
    Timeout,
}

impl AcceleratorSource {
    /// Returns the word for it in a report: `engine`, `nvml`, `amd_sysfs`, …
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Nvml => "nvml",
            Self::AmdSysfs => "amd_sysfs",
            Self::IntelSysfs => "intel_sysfs",
            Self::Tpu => "tpu",
            Self::Apple => "apple",
            Self::Timeout => "timeout",
        }
    }
}

impl Accelerators {
    /// Creates an engine's description: the number of visible devices, and name and total memory in
    /// bytes of the first. Negative numbers and an empty name are left out.
    pub fn new(count: i64, name: impl Into<String>, memory_bytes: i64) -> Self {
        Self {
            count: (count >= 0).then_some(count),
            name: Some(name.into()).filter(|name| !name.trim().is_empty()),
            memory_bytes: (memory_bytes >= 0).then_some(memory_bytes),
            ..Self::default()
        }
    }

    /// Adds the runtime for which the engine's framework was built.
    #[must_use]
    pub fn with_runtime(mut self, runtime: Runtime) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Describes accelerators whose driver did not answer in time.
    pub(super) fn timed_out() -> Self {
        Self { source: AcceleratorSource::Timeout, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Facts;
    use super::super::fixture::Tree;
    use super::{AcceleratorSource, Accelerators, Runtime, find};

    #[test]
    fn an_engine_describes_its_devices() {
        let said = Accelerators::new(8, "NVIDIA H100 80GB HBM3", 85_029_158_912)
            .with_runtime(Runtime::Cuda("12.8".to_owned()));
        assert_eq!(said.count, Some(8));
        assert_eq!(said.name.as_deref(), Some("NVIDIA H100 80GB HBM3"));
        assert_eq!(said.memory_bytes, Some(85_029_158_912));
        assert_eq!(said.runtime, Some(Runtime::Cuda("12.8".to_owned())));
        assert_eq!(said.source.as_str(), "engine");
        assert_eq!(AcceleratorSource::Nvml.as_str(), "nvml");
    }

    #[test]
    fn invalid_values_are_left_out() {
        assert_eq!(Accelerators::new(-1, " ", -1), Accelerators::default());
        assert_eq!(Accelerators::new(0, "cpu", 0).count, Some(0));
    }

    #[test]
    fn a_described_machine_does_not_ask_the_driver_of_this_machine() {
        assert_eq!(find(&Tree::new().machine(), &Facts::default()), None);
    }

    #[test]
    fn graphics_of_a_processor_beside_nvidias_driver_are_not_the_accelerator() {
        let tree = Tree::new()
            .file("/sys/class/drm/card0/device/vendor", "0x1002\n")
            .file("/sys/class/drm/card0/device/class", "0x030000\n");
        let found = find(&tree.machine(), &Facts::default()).unwrap();
        assert_eq!((found.count, found.source), (Some(1), AcceleratorSource::AmdSysfs));
        let tree = tree.file(super::NVIDIA, "NVRM version: 570.124.06\n");
        assert_eq!(find(&tree.machine(), &Facts::default()), None);
    }
}
