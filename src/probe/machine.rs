//! The machine as a value: what comes in is a root folder, an environment snapshot and the
//! few answers that are not files; what goes out is one source for every probe (its files are
//! read in `files`).
//!
//! Live, the root is `/` and the rest is this machine. In tests and for a copied tree
//! nothing of the live machine leaks in: what was not given is unknown.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::ENVIRONMENT;
use super::trace::{Answer, Asked, Trace};
use crate::sys::{self, SystemName};

/// The machine as a value: everything a probe may look at.
///
/// Live it is this machine; in tests it is a copied tree of its files.
#[derive(Clone)]
pub struct Machine {
    root: PathBuf,
    live: bool,
    /// A dozen at most: looked through, not looked up.
    pub(super) environment: Vec<(String, String)>,
    cpuid: Cpuid,
    system_name: Option<SystemName>,
    libc: Option<(Cow<'static, str>, String)>,
    pub(super) trace: Option<Trace>,
}

/// Where CPUID leaves come from.
#[derive(Debug, Clone)]
enum Cpuid {
    Absent,
    Given(BTreeMap<u32, [u32; 4]>),
    Live,
}

impl Machine {
    /// This machine, with an environment that was already taken.
    ///
    /// `environment`: name and value of the variables in [`ENVIRONMENT`]; others are dropped,
    /// so that a whole environment may be handed over.
    pub fn live(environment: impl IntoIterator<Item = (String, String)>) -> Self {
        let machine = Self {
            root: PathBuf::from("/"),
            live: true,
            environment: Vec::new(),
            cpuid: if cfg!(target_arch = "x86_64") { Cpuid::Live } else { Cpuid::Absent },
            system_name: sys::uname(),
            libc: sys::libc_version().map(|version| ("glibc".into(), version)),
            trace: None,
        };
        machine.with_environment(environment)
    }

    /// A machine made of the files below `root`, and of nothing else until a `with_*` method
    /// adds it: no environment, no system name, no CPUID.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            live: false,
            environment: Vec::new(),
            cpuid: Cpuid::Absent,
            system_name: None,
            libc: None,
            trace: None,
        }
    }

    /// Replaces the environment; variables not in [`ENVIRONMENT`] are dropped.
    #[must_use]
    pub fn with_environment(
        mut self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        self.environment = environment
            .into_iter()
            .filter(|(name, _)| ENVIRONMENT.contains(&name.as_str()))
            .collect();
        self
    }

    /// Replaces what `uname` says: system (`Linux`), release (`6.8.0-1031-aws`) and hardware
    /// (`x86_64`).
    #[must_use]
    pub fn with_uname(
        mut self,
        sysname: impl Into<String>,
        release: impl Into<String>,
        machine: impl Into<String>,
    ) -> Self {
        self.system_name = Some(SystemName {
            sysname: sysname.into(),
            release: release.into(),
            machine: machine.into(),
        });
        self
    }

    /// Replaces the C library as Python names it: `glibc` and `2.35`; without this call the
    /// machine has one that Python cannot name, such as musl.
    #[must_use]
    pub fn with_libc(mut self, name: impl Into<String>, version: impl Into<String>) -> Self {
        self.libc = Some((Cow::Owned(name.into()), version.into()));
        self
    }

    /// Replaces the CPUID leaves: number of the leaf, and its `eax`, `ebx`, `ecx`, `edx`.
    #[must_use]
    pub fn with_cpuid(mut self, leaves: impl IntoIterator<Item = (u32, [u32; 4])>) -> Self {
        self.cpuid = Cpuid::Given(leaves.into_iter().collect());
        self
    }

    /// The folder its files lie in.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether this is the machine the process runs on, which alone may be asked by calls.
    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    pub(super) fn system_name(&self) -> Option<&SystemName> {
        self.note(Asked::Call, "uname", || Answer::there(self.system_name.is_some()));
        self.system_name.as_ref()
    }

    /// Name and version of the C library.
    pub(super) fn libc(&self) -> Option<(&str, &str)> {
        self.note(Asked::Call, "C library", || Answer::there(self.libc.is_some()));
        self.libc.as_ref().map(|(name, version)| (&**name, version.as_str()))
    }

    /// As [`Machine::variable`], without taking note of the question.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let mut found = self.environment.iter().filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// The value of a variable; absent and empty differ.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        debug_assert!(ENVIRONMENT.contains(&name), "{name} is read but not declared");
        let value = self.value(name);
        self.note(Asked::Variable, name, || match value {
            Some("") => Answer::Blank,
            value => Answer::there(value.is_some()),
        });
        value
    }

    /// Whether a variable is set to something.
    pub(super) fn has_variable(&self, name: &str) -> bool {
        self.variable(name).is_some_and(|value| !value.is_empty())
    }

    /// Registers `eax`, `ebx`, `ecx`, `edx` of one CPUID leaf (sub-leaf 0).
    pub(super) fn cpuid(&self, leaf: u32) -> Option<[u32; 4]> {
        let registers = match &self.cpuid {
            Cpuid::Absent => None,
            Cpuid::Given(leaves) => leaves.get(&leaf).copied(),
            Cpuid::Live => live_cpuid(leaf),
        };
        self.note(Asked::Call, "CPUID", || Answer::there(registers.is_some()));
        registers
    }
}

impl std::fmt::Debug for Machine {
    /// Leaves the environment's values out: paths in it may carry a user's name.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Machine")
            .field("root", &self.root)
            .field("live", &self.live)
            .field("system_name", &self.system_name)
            .field("libc", &self.libc)
            .field("cpuid", &self.cpuid)
            .finish_non_exhaustive()
    }
}

#[cfg(target_arch = "x86_64")]
fn live_cpuid(leaf: u32) -> Option<[u32; 4]> {
    let registers = core::arch::x86_64::__cpuid(leaf);
    Some([registers.eax, registers.ebx, registers.ecx, registers.edx])
}

#[cfg(not(target_arch = "x86_64"))]
fn live_cpuid(_leaf: u32) -> Option<[u32; 4]> {
    None
}

#[cfg(test)]
mod tests {
    use super::Machine;

    #[test]
    fn only_declared_variables_are_kept_and_none_is_shown() {
        let pairs = [("PATH", "/home/alice/bin"), ("SECRET", "hunter2")];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let machine = Machine::live(pairs);
        assert_eq!(machine.variable("PATH"), Some("/home/alice/bin"));
        assert!(machine.environment.iter().all(|(name, _)| name != "SECRET"));
        assert!(!format!("{machine:?}").contains("alice"));
    }
}
