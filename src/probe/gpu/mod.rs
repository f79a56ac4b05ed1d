//! What an engine says of its accelerators, or a machine, comes in; count, name and memory as
//! the process sees them go out.
//!
//! What the engine says always wins, and is then the only thing asked for: receivers hold its
//! framework's numbers, and a driver counts differently. Else the vendors are asked one after
//! the other, and the first whose devices are here decides, even where this process sees
//! none of them.
//!
//! | file | vendor | reads |
//! | --- | --- | --- |
//! | `nvml` | NVIDIA, with the feature `gpu` | the driver's library |
//! | `select`, `slices` | | the rules for its devices, without a driver |
//! | `tpu` | Google | device files, TPU variables |
//! | `amd` | AMD | the kernel's compute topology, else its graphics cards |
//! | `intel` | Intel | the kernel's graphics cards |
//! | `apple` | Apple | what is known of the processor |
//! | `listing`, `visible`, `drm` | | what they share |

mod amd;
mod apple;
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

use super::{Facts, Machine};
pub(crate) use listing::Hangs;
use listing::Vendor;

/// The vendors in the order in which they are asked; NVIDIA's comes first.
static VENDORS: &[&dyn Vendor] = &[
    #[cfg(feature = "gpu")]
    &nvml::Nvidia,
    &tpu::Google,
    &amd::Amd,
    &intel::Intel,
    &apple::Apple,
];

/// Described accelerators that NVIDIA's own may stand beside.
const NVIDIA: &str = "/proc/driver/nvidia/version";

/// Describes the accelerators this process sees; `None` where that is nothing.
///
/// `facts`: what was found on the machine so far.
///
/// # Errors
///
/// A driver was asked before and has not answered yet.
pub(crate) fn accelerators(
    machine: &Machine,
    facts: &Facts,
) -> Result<Option<Accelerators>, Hangs> {
    // Drivers of AMD and Intel are the kernel's own, which lists their cards in one folder.
    let cards = std::cell::LazyCell::new(|| machine.may_hold(drm::CARDS));
    for vendor in VENDORS {
        if vendor.is_kernels() && !*cards {
            continue;
        }
        let Some(listing) = vendor.listing(machine, facts)? else {
            continue;
        };
        // The graphics part of a processor is not what a machine with NVIDIA's driver works
        // with, also where that driver is not asked here.
        let beside =
            matches!(listing.source, AcceleratorSource::AmdSysfs | AcceleratorSource::IntelSysfs);
        if beside && machine.exists(NVIDIA) {
            return Ok(None);
        }
        return Ok(listing.summary());
    }
    Ok(None)
}

/// Accelerators as the engine's framework sees them, or as the driver reports them.
///
/// Each value is `None` where its source does not know it; none is guessed.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Accelerators {
    /// Devices visible to the process.
    ///
    /// Unit: devices. Absent where the driver cannot tell what the process would see.
    pub count: Option<i64>,
    /// Name of the first visible device: `NVIDIA H100 80GB HBM3`.
    pub name: Option<String>,
    /// Total memory of the first visible device, or of the slice of it that is visible.
    ///
    /// Unit: bytes. By a framework and by the driver it differs by what is reserved.
    pub memory_bytes: Option<i64>,
    /// Whether the visible devices differ in name or memory. Absent: fewer than two, or
    /// unknown. Only drivers say it.
    pub mixed: Option<bool>,
    /// The driver's version: `570.124.06`.
    pub driver_version: Option<String>,
    /// The newest CUDA version the driver supports: `12.8`. The framework's is another one.
    pub driver_cuda: Option<String>,
    /// The runtime the engine's framework was built for. Only an engine knows it: a driver's newest
    /// supported version is another thing.
    pub runtime: Option<Runtime>,
    /// Who said all this.
    pub source: AcceleratorSource,
}

/// A framework's accelerator runtime and its version, as the framework spells it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Runtime {
    /// CUDA: `13.0`. On TPU vLLM says `tpu_inference` here.
    Cuda(String),
    /// Intel's XPU runtime: `20250302`.
    Xpu(String),
}

/// Who described the accelerators.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
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
}

impl AcceleratorSource {
    /// The word that stands for it in a report: `engine`, `nvml`, `amd_sysfs`, …
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Nvml => "nvml",
            Self::AmdSysfs => "amd_sysfs",
            Self::IntelSysfs => "intel_sysfs",
            Self::Tpu => "tpu",
            Self::Apple => "apple",
        }
    }
}

impl Accelerators {
    /// What an engine knows: the number of visible devices, and name and total memory in
    /// bytes of the first.
    ///
    /// A number below zero is no number and left out, as is an empty name.
    pub fn new(count: i64, name: impl Into<String>, memory_bytes: i64) -> Self {
        Self {
            count: (count >= 0).then_some(count),
            name: Some(name.into()).filter(|name| !name.trim().is_empty()),
            memory_bytes: (memory_bytes >= 0).then_some(memory_bytes),
            ..Self::default()
        }
    }

    /// Adds the runtime the engine's framework was built for.
    #[must_use]
    pub fn with_runtime(mut self, runtime: Runtime) -> Self {
        self.runtime = Some(runtime);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::Facts;
    use super::super::fixture::Tree;
    use super::{AcceleratorSource, Accelerators, Runtime, accelerators};

    #[test]
    fn an_engine_says_what_it_sees() {
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
    fn what_is_no_value_is_left_out() {
        assert_eq!(Accelerators::new(-1, " ", -1), Accelerators::default());
        assert_eq!(Accelerators::new(0, "cpu", 0).count, Some(0));
    }

    #[test]
    fn a_described_machine_never_asks_the_driver_of_this_one() {
        assert_eq!(accelerators(&Tree::new().machine(), &Facts::default()), Ok(None));
    }

    #[test]
    fn a_processors_graphics_beside_nvidias_driver_are_not_the_accelerator() {
        let tree = Tree::new()
            .file("/sys/class/drm/card0/device/vendor", "0x1002\n")
            .file("/sys/class/drm/card0/device/class", "0x030000\n");
        let found = accelerators(&tree.machine(), &Facts::default()).unwrap().unwrap();
        assert_eq!((found.count, found.source), (Some(1), AcceleratorSource::AmdSysfs));
        let tree = tree.file(super::NVIDIA, "NVRM version: 570.124.06\n");
        assert_eq!(accelerators(&tree.machine(), &Facts::default()), Ok(None));
    }
}
