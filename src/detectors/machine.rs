//! The machine as a value: the one source from which every reader takes its files, variables and calls.
//!
//! It is either this machine or a folder with the files of another one. Nothing of this machine gets
//! into the facts about a folder: whatever was not given is unknown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::trace::{Answer, Asked, Trace};
use crate::sys::{self, SystemName};

/// Every environment variable that readers look at, so that a caller takes exactly these.
pub const VARIABLES: &[&str] = &[
    "APPTAINER_CONTAINER",
    "CONDA_PREFIX",
    "CUDA_DEVICE_ORDER",
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "KUBERNETES_SERVICE_HOST",
    "ONEAPI_DEVICE_SELECTOR",
    "PATH",
    "ROCR_VISIBLE_DEVICES",
    "RUNPOD_DC_ID",
    "SINGULARITY_CONTAINER",
    "TPU_ACCELERATOR_TYPE",
    "TPU_CHIPS_PER_HOST_BOUNDS",
    "TPU_VISIBLE_CHIPS",
    "TPU_VISIBLE_DEVICES",
    "VIRTUAL_ENV",
    "ZE_AFFINITY_MASK",
    "container",
];

/// The machine as a value: everything that a reader may look at.
#[derive(Clone, Default)]
pub struct Machine {
    /// The folder of a described machine; `None` for this machine.
    root: Option<PathBuf>,
    environment: Vec<(String, String)>,
    /// The leaves of a described machine.
    cpuid: BTreeMap<u32, [u32; 4]>,
    system_name: Option<SystemName>,
    libc: Option<(String, String)>,
    pub(super) trace: Option<Trace>,
}

impl Machine {
    /// Creates the value of this machine, with an environment that was already taken.
    ///
    /// `environment`: name and value of the variables in [`VARIABLES`]. Others are dropped, so a
    /// caller may pass a whole environment.
    pub fn live(environment: impl IntoIterator<Item = (String, String)>) -> Self {
        let machine = Self {
            system_name: sys::uname(),
            libc: sys::libc_version().map(|version| ("glibc".to_owned(), version)),
            ..Self::default()
        };
        machine.with_environment(environment)
    }

    /// Creates a machine of the files below `root`. It has no environment, no system name and no
    /// CPUID until a `with_*` method adds them.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: Some(root.into()), ..Self::default() }
    }

    /// Replaces the environment; variables that are not in [`VARIABLES`] are dropped.
    #[must_use]
    pub fn with_environment(
        mut self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let known = |(name, _): &(String, String)| VARIABLES.contains(&name.as_str());
        self.environment = environment.into_iter().filter(known).collect();
        self
    }

    /// Replaces the result of `uname`: system (`Linux`), release (`6.8.0-1031-aws`) and hardware
    /// (`x86_64`).
    #[must_use]
    pub fn with_uname(
        mut self,
        sysname: impl Into<String>,
        release: impl Into<String>,
        machine: impl Into<String>,
    ) -> Self {
        let (sysname, release, machine) = (sysname.into(), release.into(), machine.into());
        self.system_name = Some(SystemName { sysname, release, machine });
        self
    }

    /// Replaces the C library as Python names it: `glibc` and `2.35`. Without this call a described
    /// machine has one that Python cannot name, such as musl.
    #[must_use]
    pub fn with_libc(mut self, name: impl Into<String>, version: impl Into<String>) -> Self {
        self.libc = Some((name.into(), version.into()));
        self
    }

    /// Replaces the CPUID leaves of a described machine: number, and `eax`, `ebx`, `ecx`, `edx`.
    #[must_use]
    pub fn with_cpuid(mut self, leaves: impl IntoIterator<Item = (u32, [u32; 4])>) -> Self {
        self.cpuid = leaves.into_iter().collect();
        self
    }

    /// Returns the folder of a described machine.
    pub(super) fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// Returns whether this is the machine on which the process runs; only that one has calls.
    pub(super) fn is_live(&self) -> bool {
        self.root.is_none()
    }

    /// Returns the result of `uname`.
    pub(super) fn system_name(&self) -> Option<&SystemName> {
        self.note(Asked::Call, "uname", || Answer::there(self.system_name.is_some()));
        self.system_name.as_ref()
    }

    /// Returns name and version of the C library.
    pub(super) fn libc(&self) -> Option<(&str, &str)> {
        self.note(Asked::Call, "C library", || Answer::there(self.libc.is_some()));
        self.libc.as_ref().map(|(name, version)| (name.as_str(), version.as_str()))
    }

    /// Returns the value of a variable without noting it as a reading.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the value of a variable; absent and empty differ.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        debug_assert!(VARIABLES.contains(&name), "{name} is read but not declared");
        let value = self.value(name);
        self.note(Asked::Variable, name, || match value {
            Some("") => Answer::Blank,
            value => Answer::there(value.is_some()),
        });
        value
    }

    /// Returns whether a variable has a value that is not empty.
    pub(super) fn has_variable(&self, name: &str) -> bool {
        self.variable(name).is_some_and(|value| !value.is_empty())
    }

    /// Returns `eax`, `ebx`, `ecx`, `edx` of one CPUID leaf (sub-leaf 0).
    pub(super) fn cpuid(&self, leaf: u32) -> Option<[u32; 4]> {
        let registers =
            if self.is_live() { sys::cpuid(leaf) } else { self.cpuid.get(&leaf).copied() };
        self.note(Asked::Call, "CPUID", || Answer::there(registers.is_some()));
        registers
    }
}

impl std::fmt::Debug for Machine {
    /// Leaves the environment out because its paths may hold a user's name.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Machine")
            .field("root", &self.root)
            .field("system_name", &self.system_name)
            .field("libc", &self.libc)
            .field("cpuid", &self.cpuid)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{Machine, VARIABLES};

    #[test]
    fn only_declared_variables_are_kept_and_debug_shows_none() {
        let pairs = [("PATH", "/home/alice/bin"), ("SECRET", "hunter2")];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let machine = Machine::live(pairs);
        assert_eq!(machine.variable("PATH"), Some("/home/alice/bin"));
        assert!(machine.environment.iter().all(|(name, _)| name != "SECRET"));
        assert!(!format!("{machine:?}").contains("alice"));
        assert!(VARIABLES.is_sorted(), "{VARIABLES:?}");
    }
}
