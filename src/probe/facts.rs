//! What a probe found: values come in from the probes beside this file, and go out to whoever
//! turns them into attributes.
//!
//! `None` is always "unknown", never a guess; what an unknown value looks like on a wire is
//! the business of the contract.

use super::gpu::Accelerators;

/// What was found about a machine.
///
/// Every field is `None` while it is unknown. None of them names the machine or its user.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Facts {
    /// Cloud the machine is rented from.
    ///
    /// Shape: a value of OpenTelemetry's `cloud.provider` (`aws`, `alibaba_cloud`), or a word of
    /// the same kind where it has none (`runpod`). Source: DMI files, and `RUNPOD_DC_ID`; no
    /// metadata server is asked.
    pub cloud_provider: Option<String>,
    /// Logical CPUs that are online, whatever this process may use of them.
    ///
    /// Unit: CPUs. Source: `/sys/devices/system/cpu/online`, as `sysconf` reads it; else
    /// `/proc/stat`, `/proc/cpuinfo`.
    pub cpu_count: Option<i64>,
    /// Physical cores with an online CPU, as psutil counts them.
    ///
    /// Unit: cores. Source: `topology/core_cpus_list` of the CPUs, else `/proc/cpuinfo`.
    pub cpu_physical_count: Option<i64>,
    /// Brand of the first CPU: `AMD EPYC 7R13 Processor`, `Neoverse-V2`.
    ///
    /// Source: CPUID on x86-64, else `model name` of `/proc/cpuinfo`; on aarch64 the name of
    /// implementer and part, as lscpu prints it.
    pub cpu_brand: Option<String>,
    /// Maker of the first CPU: `GenuineIntel`, `AuthenticAMD`, `ARM`.
    ///
    /// Source: CPUID, else `/proc/cpuinfo`; on aarch64 lscpu's name of the implementer.
    pub cpu_vendor: Option<String>,
    /// Family of the first CPU.
    ///
    /// Shape: decimal number as text, zero kept. Source: CPUID, else `/proc/cpuinfo`.
    /// Absent on aarch64.
    pub cpu_family: Option<String>,
    /// Model of the first CPU.
    ///
    /// Shape: decimal number as text, zero kept. Source: CPUID, else `/proc/cpuinfo`; on
    /// aarch64 the revision, which is what lscpu prints as `Model`.
    pub cpu_model: Option<String>,
    /// Stepping of the first CPU.
    ///
    /// Shape: decimal number as text, zero kept. Source: CPUID, else `/proc/cpuinfo`.
    /// Absent on aarch64, where lscpu's `r3p1` is no number.
    pub cpu_stepping: Option<String>,
    /// Physical memory of the host, not the cgroup limit.
    ///
    /// Unit: bytes. Source: `MemTotal` of `/proc/meminfo`.
    pub memory_bytes: Option<i64>,
    /// Memory this process may use, where a cgroup limits it.
    ///
    /// Unit: bytes. Source: the smallest limit on the way up from this process' cgroup,
    /// version 2 or 1. Absent: no limit.
    pub memory_limit_bytes: Option<i64>,
    /// Hardware name as `uname -m` prints it: `x86_64`, `aarch64`.
    pub machine: Option<String>,
    /// Operating system as OpenTelemetry's `os.type` spells it: `linux`, `darwin`, `windows`.
    pub os_type: Option<String>,
    /// Byte for byte what Python's `platform.platform()` returns here.
    ///
    /// Source: `uname` and the C library. Privacy: a kernel of one's own shows in its release.
    pub platform: Option<String>,
    /// What Python's `platform.architecture()` returns here: word size and executable format.
    ///
    /// Shape: `["64bit", "ELF"]`; the format is empty on Linux without the program `file`.
    pub architecture: Option<[String; 2]>,
    /// Accelerators the process sees. Absent: none found, or unknown.
    pub accelerators: Option<Accelerators>,
    /// How the engine was installed: `DOCKER`, `PIP`, `CONDA` or `UNKNOWN`.
    ///
    /// Source: `/proc/1/cgroup`, then the folders of the Python environment.
    pub install_source: Option<String>,
    /// Kind of container the process runs in: `kubernetes`, `docker`, `podman`, `containerd`,
    /// `cri-o`, `lxc`, `apptainer`, `systemd-nspawn` and the like. Absent: none found.
    ///
    /// Source: marker files, environment, cgroup and mounts of this process; also right under
    /// cgroup version 2, where `install_source` is not.
    pub container: Option<String>,
}

impl Facts {
    /// Takes over what is unknown here and known there.
    ///
    /// Steps of a probe only add facts, so this keeps up with its progress, and copies each fact
    /// once instead of after every step.
    pub fn learn(&mut self, newer: &Self) {
        // All fields by name: a new one cannot be forgotten here.
        let Self {
            cloud_provider,
            cpu_count,
            cpu_physical_count,
            cpu_brand,
            cpu_vendor,
            cpu_family,
            cpu_model,
            cpu_stepping,
            memory_bytes,
            memory_limit_bytes,
            machine,
            os_type,
            platform,
            architecture,
            accelerators,
            install_source,
            container,
        } = newer;
        add(&mut self.cloud_provider, cloud_provider);
        add(&mut self.cpu_count, cpu_count);
        add(&mut self.cpu_physical_count, cpu_physical_count);
        add(&mut self.cpu_brand, cpu_brand);
        add(&mut self.cpu_vendor, cpu_vendor);
        add(&mut self.cpu_family, cpu_family);
        add(&mut self.cpu_model, cpu_model);
        add(&mut self.cpu_stepping, cpu_stepping);
        add(&mut self.memory_bytes, memory_bytes);
        add(&mut self.memory_limit_bytes, memory_limit_bytes);
        add(&mut self.machine, machine);
        add(&mut self.os_type, os_type);
        add(&mut self.platform, platform);
        add(&mut self.architecture, architecture);
        add(&mut self.accelerators, accelerators);
        add(&mut self.install_source, install_source);
        add(&mut self.container, container);
    }
}

fn add<T: Clone>(known: &mut Option<T>, newer: &Option<T>) {
    if known.is_none() && newer.is_some() {
        known.clone_from(newer);
    }
}

#[cfg(test)]
mod tests {
    use super::Facts;

    #[test]
    fn what_is_learnt_is_added_and_what_is_known_stays() {
        let mut known = Facts { cpu_count: Some(2), ..Facts::default() };
        let newer = Facts {
            cpu_count: Some(3),
            machine: Some("x86_64".to_owned()),
            container: Some("docker".to_owned()),
            ..Facts::default()
        };
        known.learn(&newer);
        assert_eq!(known, Facts { cpu_count: Some(2), ..newer.clone() });
        let mut empty = Facts::default();
        empty.learn(&newer);
        assert_eq!(empty, newer);
    }
}
