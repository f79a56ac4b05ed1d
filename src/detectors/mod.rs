//! Reads facts about the machine: files, CPUID, `uname`, drivers and a few variables.
//!
//! `FACTS` is the table of facts. Each row names its `Reader`; a reader takes a `Machine` and
//! fills [`Facts`]. `detect` runs the readers for a report, with deadlines. `otel` offers them as
//! OpenTelemetry resource detectors.
//!
//! | file | reads |
//! | --- | --- |
//! | `os` | `uname`, C library, `PATH`: system, platform string, architecture |
//! | `cpu` | CPUID or `/proc/cpuinfo`: the processor; sysfs CPU lists: CPUs and cores |
//! | `memory` | `/proc/meminfo`, cgroup files |
//! | `cloud` | DMI files, `RUNPOD_DC_ID` |
//! | `container`, `install_source` | marker files, cgroup, Python folders |
//! | `accelerators` | the driver's library (feature `gpu`), device folders, variables |
//! | `fallback` | the sysinfo crate, for facts that our own readers did not find |
//! | `machine_id` | LMCache's file, which no public detector reads |
//! | `machine`, `root`, `files`, `trace` | what readers share: bounded reads and the list of them |
//! | `recording` | a machine as a folder that can be given away (feature `recording`) |
//!
//! No reader starts a process, opens a socket or asks for the time. Variables come from the snapshot in
//! `Machine`, not from the process environment.
//! Something that cannot be read is unknown, never an error.

mod accelerators;
mod cloud;
mod container;
mod cpu;
mod detect;
mod facts;
mod fallback;
mod files;
#[cfg(test)]
mod fixture;
mod install_source;
mod machine;
mod machine_id;
#[cfg(test)]
#[cfg(feature = "recording")]
mod machines;
mod memory;
mod os;
mod otel;
#[cfg(feature = "recording")]
mod recording;
mod root;
mod trace;

pub use accelerators::{AcceleratorSource, Accelerators, Runtime};
pub(crate) use detect::{EngineFacts, detect, detect_here};
pub use facts::{FACTS, Fact, Facts, FoundIn};
pub use machine::{Machine, VARIABLES};
pub(crate) use machine_id::FILE as MACHINE_ID_FILE;
pub use otel::{AcceleratorDetector, CloudDetector, ContainerDetector, HostDetector, OsDetector};
#[cfg(feature = "recording")]
pub use recording::{MACHINE_FILE, RecordedFile, Recording};
pub use trace::{Answer, Asked, Reading, Step};

/// Finds a few facts of a machine, those whose rows in [`FACTS`] name it.
struct Reader {
    name: &'static str,
    /// Fills in facts; may look at those that earlier readers found.
    read: fn(&Machine, &mut Facts),
}

/// The readers in their order: first those of files that the kernel makes, then those of folders
/// that may lie on a network file system, last the accelerators, because their driver may hang.
static READERS: [Reader; 12] = [
    os::NAMES,
    memory::TOTAL,
    cloud::READER,
    cpu::READER,
    cpu::LOGICAL,
    cpu::PHYSICAL,
    memory::LIMIT,
    container::READER,
    fallback::READER,
    os::ARCHITECTURE,
    install_source::READER,
    accelerators::READER,
];

/// Reads all facts about a machine.
///
/// `progress` gets each [`Step`] when it is done, with everything that is known by then, so that a
/// caller that stops waiting keeps it. Accelerators are left out unless `accelerators_wanted`.
pub fn probe(
    machine: &Machine,
    accelerators_wanted: bool,
    progress: &mut dyn FnMut(&Step<'_>),
) -> Facts {
    let mut facts = Facts::default();
    for reader in &READERS {
        if !accelerators_wanted && reader.name == accelerators::READER.name {
            continue;
        }
        (reader.read)(machine, &mut facts);
        progress(&Step { name: reader.name, facts: &facts, readings: &machine.take_readings() });
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::fixture::Tree;
    use super::{Facts, probe};

    /// A rented AMD machine, by its files.
    fn rented() -> Tree {
        Tree::new()
            .file(
                "/proc/cpuinfo",
                "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 23\nmodel\t\t: 49\n\
                 model name\t: AMD EPYC 7R32\nstepping\t: 0\nphysical id\t: 0\ncpu cores\t: 2\n\n",
            )
            .file("/proc/meminfo", "MemTotal:       1024 kB\n")
            .file("/sys/class/dmi/id/sys_vendor", "Amazon EC2\n")
            .file("/sys/devices/system/cpu/online", "0-3\n")
            .file("/proc/1/cgroup", "0::/\n")
            .file("/proc/self/cgroup", "0::/\n")
            .file("/sys/fs/cgroup/memory.max", "4096\n")
            .file("/.dockerenv", "")
    }

    #[test]
    fn a_described_machine_has_its_own_facts_and_none_of_this_machine() {
        let tree = rented();
        let machine = tree
            .machine_with(&[("PATH", "/bin")])
            .with_uname("Linux", "6.8.0-1031-aws", "x86_64")
            .with_libc("glibc", "2.35");
        let some = |text: &str| Some(text.to_owned());
        let expected = Facts {
            cloud_provider: Some("aws"),
            cpu_count: Some(4),
            cpu_physical_count: Some(2),
            cpu_brand: some("AMD EPYC 7R32"),
            cpu_vendor: some("AuthenticAMD"),
            cpu_family: some("23"),
            cpu_model: some("49"),
            cpu_stepping: some("0"),
            memory_bytes: Some(1_048_576),
            memory_limit_bytes: Some(4096),
            machine: some("x86_64"),
            os_type: some("linux"),
            platform: some("Linux-6.8.0-1031-aws-x86_64-with-glibc2.35"),
            architecture: Some(["64bit", ""]),
            accelerators: None,
            install_source: Some("UNKNOWN"),
            container: Some("docker"),
        };
        assert_eq!(probe(&machine, true, &mut |_| ()), expected);
    }

    #[test]
    fn an_empty_machine_has_no_facts() {
        let expected = Facts { install_source: Some("UNKNOWN"), ..Facts::default() };
        assert_eq!(probe(&Tree::new().machine(), true, &mut |_| ()), expected);
    }

    #[test]
    fn progress_grows_and_ends_with_the_result() {
        let tree = rented();
        let mut seen: Vec<Facts> = Vec::new();
        let facts = probe(&tree.machine(), true, &mut |step| seen.push(step.facts.clone()));
        assert_eq!(seen.last(), Some(&facts));
        assert!(seen.len() >= 10, "{}", seen.len());
        assert_eq!(seen[1].memory_bytes, Some(1_048_576));
        assert_eq!(seen[1].install_source, None, "folders are read last");
    }

    #[test]
    fn garbage_in_every_file_is_survived() {
        let files = [
            "/proc/cpuinfo",
            "/proc/meminfo",
            "/proc/stat",
            "/proc/1/cgroup",
            "/proc/self/cgroup",
            "/proc/self/mountinfo",
            "/sys/class/dmi/id/sys_vendor",
            "/sys/devices/system/cpu/online",
            "/sys/devices/system/cpu/present",
            "/sys/devices/system/cpu/smt/active",
            "/sys/devices/system/cpu/cpu0/topology/core_cpus_list",
            "/sys/devices/system/cpu/cpu0/regs/identification/midr_el1",
            "/sys/fs/cgroup/memory.max",
        ];
        let patterns: [&[u8]; 5] =
            [b"\xff\x00:", b"0-9,", b"a\t: 99999999999999999999\n", b"\n", b"0::/../\n"];
        for pattern in patterns {
            let bytes = pattern.repeat(10_000);
            let tree = files.iter().fold(Tree::new(), |tree, path| tree.bytes(path, &bytes));
            let machine = tree.machine().with_uname("\u{fffd}", "--", "");
            let facts = probe(&machine, true, &mut |_| ());
            assert_eq!((facts.memory_bytes, facts.cpu_brand), (None, None));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_the_facts_that_every_machine_has() {
        let facts = probe(&super::Machine::live(Vec::new()), false, &mut |_| ());
        assert!(facts.cpu_count.unwrap() > 0);
        assert!(facts.cpu_physical_count.unwrap() <= facts.cpu_count.unwrap());
        assert!(facts.memory_bytes.unwrap() > 0);
        assert_eq!(facts.os_type.as_deref(), Some("linux"));
        assert!(facts.platform.unwrap().starts_with("Linux-"));
        assert!(facts.machine.is_some() && facts.architecture.is_some());
        assert_eq!(facts.accelerators, None, "not asked for");
    }
}
