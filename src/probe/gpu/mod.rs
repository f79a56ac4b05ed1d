//! What an engine says of its accelerators, or the driver's library, comes in; count, name
//! and memory as the process sees them go out.
//!
//! What the engine says always wins, and is then the only thing asked for: receivers hold its
//! framework's numbers, and a driver counts differently. The driver is asked only with the
//! feature `gpu` (`enabled`), else nothing is (`disabled`); which of its devices count is
//! decided in `select`, on any machine and without a driver.

#[cfg(not(feature = "gpu"))]
mod disabled;
#[cfg(feature = "gpu")]
mod enabled;
#[cfg(any(feature = "gpu", test))]
mod select;

#[cfg(not(feature = "gpu"))]
pub(super) use disabled::accelerators;
#[cfg(feature = "gpu")]
pub(super) use enabled::accelerators;

/// Accelerators as the engine's framework sees them, or as the driver reports them.
///
/// Each number is `None` where its source does not know it; none is guessed.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Accelerators {
    /// Devices visible to the process.
    ///
    /// Unit: devices. Absent where the driver cannot tell what the process would see.
    pub count: Option<i64>,
    /// Name of the first visible device: `NVIDIA H100 80GB HBM3`.
    pub name: Option<String>,
    /// Total memory of the first visible device.
    ///
    /// Unit: bytes. By a framework and by the driver it differs by what is reserved.
    pub memory_bytes: Option<i64>,
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
}

impl AcceleratorSource {
    /// The word that stands for it in a report: `engine`, `nvml`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Nvml => "nvml",
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
            runtime: None,
            source: AcceleratorSource::Engine,
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
        assert_eq!(accelerators(&Tree::new().machine()), None);
    }
}
