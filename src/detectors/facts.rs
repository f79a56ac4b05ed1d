//! The table of facts: everything that can be known about a machine, each fact once.
//!
//! A row holds the OpenTelemetry attribute that carries the fact, its label in the command, the
//! reader that finds it, and why it may be absent. [`Facts`], the Resource and the command's list
//! follow from the table. A new fact is a row here, code in its reader, and an attribute in a contract.

use opentelemetry::{Array, StringValue, Value};

use super::accelerators::Accelerators;
use super::{accelerators, cloud, container, cpu, install_source, memory, os};
use crate::schema::lmcache;
use crate::schema::resource::PROBE_ACCELERATOR;

/// One row of the table [`FACTS`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Fact {
    /// The OpenTelemetry attribute that carries the fact.
    pub attribute: &'static str,
    /// The fact in words, for people.
    pub label: &'static str,
    /// The name of the reader that finds it.
    pub reader: &'static str,
    /// Which readings of the reader found it.
    pub found_in: FoundIn,
    /// Why the fact is absent: if nothing that could tell exists, and if something exists.
    pub absent: [&'static str; 2],
    value: fn(&Facts) -> Option<Value>,
}

/// Which of a reader's successful readings found a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FoundIn {
    /// All of them together.
    All,
    /// The first; the others found another fact.
    First,
    /// The last, because the reader stops once it knows.
    Last,
}

impl Fact {
    /// Returns the value of this fact, or `None` if it is unknown.
    #[must_use]
    pub fn value(&self, facts: &Facts) -> Option<Value> {
        (self.value)(facts)
    }
}

/// Defines [`Facts`] and [`FACTS`].
///
/// A row is `field: type => (attribute, label, reader, found in, absent)`. A derived row has a function
/// of all facts in place of the field.
macro_rules! facts {
    (
        fields { $($(#[$doc:meta])* $field:ident: $type:ty => $row:tt;)* }
        derived { $($value:expr => $derived:tt;)* }
    ) => {
        /// Everything that was found about a machine.
        ///
        /// A field is `None` if the fact is unknown; no value is a guess. The contract decides how an
        /// unknown fact looks on the wire. No fact names the machine or its user.
        #[derive(Debug, Clone, Default, PartialEq)]
        #[cfg_attr(test, derive(serde::Serialize))]
        #[non_exhaustive]
        pub struct Facts {
            $($(#[$doc])* pub $field: Option<$type>,)*
            /// Accelerators that the process sees. Absent: none, or unknown.
            pub accelerators: Option<Accelerators>,
        }

        impl Facts {
            /// Adds the facts that are unknown here and known in `newer`; known facts stay.
            pub fn learn(&mut self, newer: &Self) {
                $(add(&mut self.$field, &newer.$field);)*
                add(&mut self.accelerators, &newer.accelerators);
            }
        }

        /// Every fact, in the order in which the command shows them.
        pub static FACTS: &[Fact] = &[
            $(fact!(|facts| facts.$field.as_ref().map(AsValue::as_value), $row),)*
            $(fact!($value, $derived),)*
        ];
    };
}

macro_rules! fact {
    ($value:expr, ($attribute:expr, $label:literal, $reader:expr, $found_in:ident, $absent:expr)) => {
        Fact {
            attribute: $attribute,
            label: $label,
            reader: $reader.name,
            found_in: FoundIn::$found_in,
            absent: $absent,
            value: $value,
        }
    };
}

const NO_CPU: [&str; 2] = ["no CPUID and no /proc/cpuinfo", "this processor does not say"];
const NO_NUMBER: [&str; 2] = [NO_CPU[0], "this processor has none (Arm never has)"];
const NO_NAME: [&str; 2] = ["no uname", "uname leaves it empty"];
const NO_DRIVER: &str = "no accelerator driver to ask";

facts! {
    fields {
        /// Cloud provider that rents out the machine.
        ///
        /// Shape: a value of OpenTelemetry's `cloud.provider` (`aws`, `alibaba_cloud`), or a similar word
        /// if OpenTelemetry has none (`runpod`). Source: DMI files and `RUNPOD_DC_ID`; no metadata server.
        cloud_provider: &'static str => ("cloud.provider", "cloud provider", cloud::READER, Last,
            ["no DMI files", "the firmware (DMI) names no cloud that is known"]);
        /// Kind of container in which the process runs: `kubernetes`, `docker`, `podman`, `containerd`,
        /// `cri-o`, `lxc`, `apptainer`, `systemd-nspawn` and the like. Absent: none found.
        ///
        /// Source: marker files, environment, cgroup and mounts of this process. Unlike `install_source`,
        /// it is also right under cgroup version 2.
        container: &'static str => ("otel_usage.container.kind", "container", container::READER, Last,
            ["no sign of a container"; 2]);
        /// Logical CPUs that are online, including those that this process may not use.
        ///
        /// Unit: CPUs. Source: `/sys/devices/system/cpu/online`, as `sysconf` reads it; else
        /// `/proc/stat`, `/proc/cpuinfo`.
        cpu_count: i64 => ("otel_usage.cpu.count", "logical CPUs", cpu::LOGICAL, Last,
            ["no list of CPUs, no /proc/stat, no /proc/cpuinfo", "the list of CPUs makes no sense"]);
        /// Physical cores with an online CPU, as psutil counts them.
        ///
        /// Unit: cores. Source: `topology/core_cpus_list` of the CPUs, else `/proc/cpuinfo`.
        cpu_physical_count: i64 => ("otel_usage.cpu.physical_count", "physical cores", cpu::PHYSICAL, All,
            ["no topology in sysfs, no /proc/cpuinfo", "no file tells which CPUs share a core"]);
        /// Brand of the first CPU: `AMD EPYC 7R13 Processor`, `Neoverse-V2`.
        ///
        /// Source: CPUID on x86-64, else the name that `/proc/cpuinfo` prints; on Arm without one the name
        /// of implementer and part, as lscpu prints it.
        cpu_brand: String => ("host.cpu.model.name", "CPU brand", cpu::READER, Last, NO_CPU);
        /// Maker of the first CPU: `GenuineIntel`, `AuthenticAMD`, `ARM`.
        ///
        /// Source: CPUID, else `/proc/cpuinfo`; on aarch64 lscpu's name of the implementer.
        cpu_vendor: String => ("host.cpu.vendor.id", "CPU vendor", cpu::READER, Last, NO_CPU);
        /// Family of the first CPU.
        ///
        /// Shape: decimal number as text, including zero. Source: CPUID, else `/proc/cpuinfo`.
        /// Absent on aarch64.
        cpu_family: String => ("host.cpu.family", "CPU family", cpu::READER, Last, NO_NUMBER);
        /// Model of the first CPU.
        ///
        /// Shape: decimal number as text, including zero. Source: CPUID, else `/proc/cpuinfo`; on
        /// aarch64 the revision, which lscpu prints as `Model`.
        cpu_model: String => ("host.cpu.model.id", "CPU model", cpu::READER, Last, NO_CPU);
        /// Stepping of the first CPU.
        ///
        /// Shape: decimal number as text, including zero. Source: CPUID, else `/proc/cpuinfo`.
        /// Absent on aarch64, because lscpu's `r3p1` is not a number.
        cpu_stepping: String => ("host.cpu.stepping", "CPU stepping", cpu::READER, Last, NO_NUMBER);
        /// Physical memory of the host, not the cgroup limit.
        ///
        /// Unit: bytes. Source: `MemTotal` of `/proc/meminfo`.
        memory_bytes: i64 => ("otel_usage.memory.total", "memory", memory::TOTAL, Last,
            ["no /proc/meminfo", "/proc/meminfo has no MemTotal"]);
        /// Memory that this process may use if a cgroup limits it.
        ///
        /// Unit: bytes. Source: the smallest limit from this process's cgroup up to the root, version 2
        /// or 1. Absent: no limit.
        memory_limit_bytes: i64 => ("otel_usage.memory.cgroup_limit", "memory limit", memory::LIMIT, All,
            ["no cgroup", "no cgroup sets a limit"]);
        /// Hardware name as `uname -m` prints it: `x86_64`, `aarch64`.
        machine: String => ("otel_usage.machine", "machine", os::NAMES, First, NO_NAME);
        /// Operating system as OpenTelemetry's `os.type` spells it: `linux`, `darwin`, `windows`.
        os_type: String => ("os.type", "system", os::NAMES, First, NO_NAME);
        /// Result of Python's `platform.platform()` on this machine, byte for byte.
        ///
        /// Source: `uname` and the C library. Privacy: the release may name a self-built kernel.
        platform: String => ("otel_usage.platform", "platform", os::NAMES, All, NO_NAME);
        /// Result of Python's `platform.architecture()` on this machine: word size, executable format.
        ///
        /// Shape: `["64bit", "ELF"]`; the format is empty on Linux without the program `file`.
        architecture: [&'static str; 2] => ("otel_usage.architecture", "architecture", os::ARCHITECTURE, All, NO_NAME);
        /// How the engine was installed: `DOCKER`, `PIP`, `CONDA` or `UNKNOWN`.
        ///
        /// Source: `/proc/1/cgroup`, then the folders of the Python environment.
        install_source: &'static str => (lmcache::INSTALL_SOURCE, "install source", install_source::READER, Last,
            ["nothing to look at", "nothing tells"]);
    }
    derived {
        // An orchestrator or the name of a format is no runtime.
        |facts| text(&facts.container.filter(|kind| container::is_runtime(kind))) =>
            ("container.runtime.name", "container runtime", container::READER, Last,
            ["no sign of a container", "no sign of the runtime"]);
        // `otel_usage.machine` in OpenTelemetry's words.
        |facts| text(&facts.machine.as_deref().map(os::arch)) =>
            ("host.arch", "CPU architecture", os::NAMES, First, NO_NAME);
        // The meaning of these stands beside the fields of `Accelerators`.
        |facts| facts.accelerators.as_ref()?.count.map(Value::I64) =>
            ("otel_usage.accelerator.count", "accelerators", accelerators::READER, All,
            [NO_DRIVER, "the number of visible devices cannot be told"]);
        |facts| text(&facts.accelerators.as_ref()?.name) =>
            ("otel_usage.accelerator.name", "accelerator", accelerators::READER, All,
            [NO_DRIVER, "the driver tells no name of the first device"]);
        |facts| facts.accelerators.as_ref()?.memory_bytes.map(Value::I64) =>
            ("otel_usage.accelerator.memory", "its memory", accelerators::READER, All,
            [NO_DRIVER, "the driver tells no memory of the first device"]);
        |facts| facts.accelerators.as_ref()?.mixed.map(Value::Bool) =>
            ("otel_usage.accelerator.mixed", "they differ", accelerators::READER, All,
            ["no driver found", "fewer than two, or not told"]);
        |facts| text(&facts.accelerators.as_ref()?.driver_version) =>
            ("otel_usage.accelerator.driver.version", "driver", accelerators::READER, All,
            [NO_DRIVER, "the driver tells no version"]);
        |facts| text(&facts.accelerators.as_ref()?.driver_cuda) =>
            ("otel_usage.accelerator.driver.cuda", "newest CUDA", accelerators::READER, All,
            [NO_DRIVER, "only NVIDIA's driver tells it"]);
        |facts| text(&facts.accelerators.as_ref().map(|found| found.source.as_str())) =>
            (PROBE_ACCELERATOR, "counted by", accelerators::READER, All,
            [NO_DRIVER, "no device is visible"]);
    }
}

fn add<T: Clone>(known: &mut Option<T>, newer: &Option<T>) {
    if known.is_none() && newer.is_some() {
        known.clone_from(newer);
    }
}

fn text(text: &Option<impl AsRef<str>>) -> Option<Value> {
    text.as_ref().map(|text| text.as_ref().to_owned().into())
}

/// Types of fields that an attribute can carry.
trait AsValue {
    fn as_value(&self) -> Value;
}

impl AsValue for i64 {
    fn as_value(&self) -> Value {
        Value::I64(*self)
    }
}

impl AsValue for String {
    fn as_value(&self) -> Value {
        self.clone().into()
    }
}

impl AsValue for &'static str {
    fn as_value(&self) -> Value {
        (*self).into()
    }
}

impl AsValue for [&'static str; 2] {
    fn as_value(&self) -> Value {
        Value::Array(Array::String(self.map(StringValue::from).to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::READERS;
    use super::{Accelerators, FACTS, Facts, PROBE_ACCELERATOR};
    use crate::schema::{Contract, RESOURCE_ATTRIBUTES};

    #[test]
    fn every_attribute_of_the_machine_has_exactly_one_row() {
        let contracts = Contract::built_in();
        let of_contracts = contracts.iter().flat_map(|contract| contract.attributes.iter());
        let declared: BTreeSet<&str> =
            RESOURCE_ATTRIBUTES.iter().chain(of_contracts).map(|one| one.name.as_ref()).collect();
        let rows: BTreeSet<&str> = FACTS.iter().map(|fact| fact.attribute).collect();
        assert_eq!(rows.len(), FACTS.len(), "an attribute has two rows");
        assert!(rows.is_subset(&declared), "{:?}", rows.difference(&declared));
        // These come from the engine and from this library.
        let machine = RESOURCE_ATTRIBUTES
            .iter()
            .map(|one| one.name.as_ref())
            .filter(|name: &&str| !name.starts_with("service.") && !name.starts_with("telemetry."));
        assert!(machine.clone().all(|name| rows.contains(name)), "{rows:?}");
    }

    #[test]
    fn every_row_names_a_reader_that_runs() {
        for fact in FACTS {
            assert!(READERS.iter().any(|reader| reader.name == fact.reader), "{fact:?}");
        }
    }

    #[test]
    fn only_a_runtime_is_the_name_of_a_runtime() {
        for (kind, runtime) in [
            ("kubernetes", None),
            ("oci", None),
            ("containerd", Some("containerd")),
            ("docker", Some("docker")),
        ] {
            let facts = Facts { container: Some(kind), ..Facts::default() };
            let value = |name: &str| {
                let fact = FACTS.iter().find(|fact| fact.attribute == name).unwrap();
                fact.value(&facts)
            };
            assert_eq!(value("container.runtime.name"), runtime.map(Into::into), "{kind}");
            assert_eq!(value("otel_usage.container.kind"), Some(kind.into()));
        }
    }

    #[test]
    fn an_absent_fact_beside_counted_devices_does_not_deny_them() {
        let source = FACTS.iter().find(|fact| fact.attribute == PROBE_ACCELERATOR).unwrap();
        let found = Facts { accelerators: Some(Accelerators::timed_out()), ..Facts::default() };
        assert!(source.value(&found).is_some(), "only without a device nothing has counted");
        for fact in FACTS.iter().filter(|fact| fact.reader == source.reader) {
            let denies = fact.absent[1].contains("no device");
            assert_eq!(denies, fact.attribute == source.attribute, "{fact:?}");
        }
    }

    #[test]
    fn learning_adds_unknown_facts_and_keeps_known_ones() {
        let mut known = Facts { cpu_count: Some(2), ..Facts::default() };
        let newer = Facts {
            cpu_count: Some(3),
            machine: Some("x86_64".to_owned()),
            container: Some("docker"),
            ..Facts::default()
        };
        known.learn(&newer);
        assert_eq!(known, Facts { cpu_count: Some(2), ..newer.clone() });
        let mut empty = Facts::default();
        empty.learn(&newer);
        assert_eq!(empty, newer);
    }
}
