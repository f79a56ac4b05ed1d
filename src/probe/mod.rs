//! A [`Machine`] comes in, [`Facts`] about it go out.
//!
//! | file | turns | into |
//! | --- | --- | --- |
//! | `machine`, `root`, `files` | root folder, environment snapshot, CPUID, `uname` | bounded reads |
//! | `recorded`, `recording`, `neutral` | a machine | a folder that plays it, and back |
//! | `trace` | what was asked | where a fact was read |
//! | `os` | `uname`, C library, `PATH` | system, platform string, architecture |
//! | `cpu`, `cpuid`, `arm` | CPUID leaves or `/proc/cpuinfo` | brand, vendor, numbers |
//! | `cores` | sysfs CPU lists | logical and physical counts |
//! | `memory` | `/proc/meminfo`, cgroup files | total and limit |
//! | `cloud` | DMI files | provider |
//! | `container`, `source` | marker files, cgroup, Python folders | kind of container, install source |
//! | `gpu` | the driver's library (feature `gpu`), device folders, variables | accelerators |
//! | `fallback` | the sysinfo crate | what our own readers did not find on a live machine |
//!
//! Called once per process, by the worker and never by the engine's thread. Nothing here
//! starts a process, opens a socket, asks for the time or reads the process environment;
//! what cannot be read is unknown, never an error.

mod arm;
mod cloud;
mod container;
mod cores;
mod cpu;
mod cpuid;
mod facts;
mod fallback;
mod files;
#[cfg(test)]
mod fixture;
mod gpu;
mod machine;
mod memory;
mod neutral;
mod os;
mod recorded;
mod recording;
mod root;
mod source;
mod trace;

pub use facts::Facts;
pub use gpu::{AcceleratorSource, Accelerators, Runtime};
pub(crate) use gpu::{Hangs, accelerators};
pub use machine::Machine;
pub use recorded::MACHINE_FILE;
pub use recording::{RecordedFile, Recording};
pub use trace::{Answer, Asked, Source, Step};

/// Every environment variable a probe may look at, so that a caller takes exactly these.
pub const ENVIRONMENT: &[&str] = &[
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

/// The cgroup of the first process.
const CGROUP: &str = "/proc/1/cgroup";

/// Most bytes of `/proc/1/cgroup`: a line per controller, each with one path.
const CGROUP_BYTES: usize = 64 * 1024;

/// Finds out what can be found out about a machine.
///
/// The probes run one after the other: first what the kernel answers from memory, then what
/// reads folders that may lie on a network file system, last the accelerators, whose driver
/// may hang. `progress` gets each [`Step`] when it is done, with all that is known by then, so
/// that a caller who stops waiting keeps it. Accelerators are looked for only where the caller
/// has not been told.
pub fn probe(
    machine: &Machine,
    accelerators_wanted: bool,
    progress: &mut dyn FnMut(&Step<'_>),
) -> Facts {
    let mut facts = Facts::default();
    let mut step = |name: &'static str, run: &dyn Fn(&mut Facts)| {
        run(&mut facts);
        progress(&Step { name, facts: &facts, sources: &machine.take_sources() });
    };
    step("system", &|facts| os::fill_names(machine, facts));
    step("memory", &|facts| memory::fill_total(machine, facts));
    step("cloud", &|facts| cloud::fill(machine, facts));
    step("cpu", &|facts| cpu::fill(machine, facts));
    let online = cores::Online::read(machine);
    step("cpu count", &|facts| cores::fill_online(machine, online.as_ref(), facts));
    step("core count", &|facts| cores::fill_physical(machine, online.as_ref(), facts));
    step("memory limit", &|facts| memory::fill_limit(machine, facts));
    let whole = |text: &str| Some(text.to_owned());
    let cgroup = machine.piece(CGROUP, CGROUP_BYTES, whole).unwrap_or_default();
    step("container", &|facts| container::fill(machine, &cgroup, facts));
    if machine.is_live() {
        step("fallback", &|facts| {
            fallback::fill(facts);
            machine.note(Asked::Call, "sysinfo", || Answer::Found);
        });
    }
    step("architecture", &|facts| os::fill_architecture(machine, facts));
    step("install source", &|facts| source::fill(machine, &cgroup, facts));
    if accelerators_wanted {
        step("accelerators", &|facts| {
            facts.accelerators = accelerators(machine, facts).unwrap_or_default();
            if machine.is_live() {
                let there = facts.accelerators.is_some();
                machine.note(Asked::Call, "accelerator driver", || Answer::there(there));
            }
        });
    }
    facts
}

/// Takes note that a step uses the cgroup that was read before it.
fn reuse_cgroup(machine: &Machine, cgroup: &str) {
    machine.note(Asked::File, CGROUP, || Answer::there(!cgroup.is_empty()));
}

#[cfg(test)]
mod tests {
    use super::fixture::Tree;
    use super::{ENVIRONMENT, Facts, probe};

    /// A rented AMD machine as its files describe it.
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
    fn a_described_machine_gives_its_own_facts_and_none_of_this_one() {
        let machine = rented()
            .machine_with(&[("PATH", "/bin")])
            .with_uname("Linux", "6.8.0-1031-aws", "x86_64")
            .with_libc("glibc", "2.35");
        // The tree is gone by now on purpose: what follows must not find anything.
        assert_eq!(probe(&machine, true, &mut |_| ()).memory_bytes, None);

        let tree = rented();
        let machine = tree
            .machine_with(&[("PATH", "/bin")])
            .with_uname("Linux", "6.8.0-1031-aws", "x86_64")
            .with_libc("glibc", "2.35");
        let some = |text: &str| Some(text.to_owned());
        let expected = Facts {
            cloud_provider: some("aws"),
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
            architecture: Some(["64bit".to_owned(), String::new()]),
            accelerators: None,
            install_source: some("UNKNOWN"),
            container: some("docker"),
        };
        assert_eq!(probe(&machine, true, &mut |_| ()), expected);
    }

    #[test]
    fn a_machine_without_anything_is_unknown_in_every_field() {
        let expected = Facts { install_source: Some("UNKNOWN".to_owned()), ..Facts::default() };
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
    fn files_of_ten_megabytes_of_anything_are_survived() {
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
            let bytes = pattern.repeat(10 * 1024 * 1024 / pattern.len());
            let tree = Tree::new().bytes("/original", &bytes);
            let tree = files.iter().fold(tree, |tree, path| tree.link(path, "/original"));
            let machine = tree.machine().with_uname("\u{fffd}", "--", "");
            let facts = probe(&machine, true, &mut |_| ());
            assert_eq!(facts.memory_bytes, None);
            assert_eq!(facts.cpu_brand, None);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_all_that_every_machine_has() {
        let facts = probe(&super::Machine::live(Vec::new()), false, &mut |_| ());
        assert!(facts.cpu_count.unwrap() > 0);
        assert!(facts.cpu_physical_count.unwrap() <= facts.cpu_count.unwrap());
        assert!(facts.memory_bytes.unwrap() > 0);
        assert_eq!(facts.os_type.as_deref(), Some("linux"));
        assert!(facts.platform.unwrap().starts_with("Linux-"));
        assert!(facts.machine.is_some() && facts.architecture.is_some());
        assert_eq!(facts.accelerators, None, "not asked for");
    }

    #[test]
    fn the_list_of_variables_is_in_order() {
        assert!(ENVIRONMENT.is_sorted(), "{ENVIRONMENT:?}");
    }
}
