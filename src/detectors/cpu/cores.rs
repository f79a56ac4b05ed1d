//! Counts logical CPUs and physical cores by the kernel's CPU lists.
//!
//! Both numbers are those of psutil, which reads a file for each CPU. Here at most five files give
//! the same number wherever the kernel's own summary makes it certain. Only an irregular machine
//! (siblings that are offline, cores of several kinds) is walked CPU by CPU.

use std::collections::{BTreeMap, BTreeSet};

use super::super::files::{FILE_BYTES, PAGE_BYTES};
use super::super::{Machine, Reader};
use super::cpuinfo;

const FOLDER: &str = "/sys/devices/system/cpu";
const ONLINE: &str = "/sys/devices/system/cpu/online";
const PRESENT: &str = "/sys/devices/system/cpu/present";
const THREADS: &str = "/sys/devices/system/cpu/smt/active";

/// Files that list the CPUs of one core, the newer name first.
const SIBLINGS: [&str; 2] = ["core_cpus_list", "thread_siblings_list"];

/// Exists if an Intel processor has cores of a second kind.
const SECOND_KIND: &str = "/sys/devices/cpu_atom";

/// Highest number of CPUs that a list may have; Linux supports 8192.
const MOST_CPUS: i64 = 65_536;

/// A list of CPUs such as `0-3,8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CpuList {
    count: i64,
    first: i64,
    last: i64,
}

/// Counts the logical CPUs that are online.
pub(in super::super) const LOGICAL: Reader = Reader {
    name: "cpu count",
    read: |machine, facts| {
        facts.cpu_count = list(machine, ONLINE).map(|online| online.count).or_else(|| {
            // The fallbacks of the C library and of psutil, in their order.
            count_lines(machine, "/proc/stat", is_cpu_name)
                .or_else(|| count_lines(machine, "/proc/cpuinfo", |key| key == "processor"))
        });
    },
};

/// Counts the physical cores.
pub(in super::super) const PHYSICAL: Reader = Reader {
    name: "core count",
    read: |machine, facts| {
        facts.cpu_physical_count = list(machine, ONLINE)
            .and_then(|online| summary(machine, online))
            .or_else(|| SIBLINGS.iter().find_map(|file| walk(machine, file)))
            .or_else(|| packages(&machine.text("/proc/cpuinfo", FILE_BYTES)?));
    },
};

/// Returns the number of cores if a few files make it certain.
///
/// - The kernel says that no two online CPUs share a core: every CPU is one.
/// - Every CPU is online, and the first and the last core have the same number of threads:
///   all have. The kernel shows where cores of two kinds are mixed, and that is walked.
fn summary(machine: &Machine, online: CpuList) -> Option<i64> {
    let threads = siblings(machine, online.first)?.count;
    if threads == 1 {
        return (machine.number(THREADS)? == 0).then_some(online.count);
    }
    // No CPU is online that is not there: as many between the same ends are the same ones.
    let regular = list(machine, PRESENT)? == online
        && siblings(machine, online.last)?.count == threads
        && online.count.checked_rem(threads)? == 0
        && !machine.exists(SECOND_KIND);
    if regular { online.count.checked_div(threads) } else { None }
}

/// Returns the CPUs that share a core with this one.
fn siblings(machine: &Machine, cpu: i64) -> Option<CpuList> {
    let cpu = cpu.to_string();
    let of = |file| list(machine, &[FOLDER, "/cpu", &cpu, "/topology/", file].concat());
    SIBLINGS.into_iter().find_map(of)
}

/// Reads the list in a file.
fn list(machine: &Machine, path: &str) -> Option<CpuList> {
    machine.piece(path, PAGE_BYTES, parse)
}

/// Parses a list. Returns `None` if any part of it makes no sense.
fn parse(text: &str) -> Option<CpuList> {
    let mut found: Option<CpuList> = None;
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<i64>().ok()?, last.parse::<i64>().ok()?);
        if !(0..=last).contains(&first) || last >= MOST_CPUS {
            return None;
        }
        let before = found.unwrap_or(CpuList { count: 0, first, last: -1 });
        if first <= before.last {
            return None;
        }
        let width = last.checked_sub(first)?.checked_add(1)?;
        found = Some(CpuList { count: before.count.checked_add(width)?, last, ..before });
    }
    found
}

/// Counts the different lists of siblings, CPU by CPU.
fn walk(machine: &Machine, file: &str) -> Option<i64> {
    let cores: BTreeSet<String> = machine
        .names(FOLDER)
        .filter(|name| is_cpu_name(name))
        .filter_map(|name| machine.attribute(&format!("{FOLDER}/{name}/topology/{file}")))
        .collect();
    i64::try_from(cores.len()).ok().filter(|&count| count > 0)
}

fn is_cpu_name(name: &str) -> bool {
    name.strip_prefix("cpu").is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Counts the lines whose first word passes. Returns `None` for zero.
fn count_lines(machine: &Machine, path: &str, passes: fn(&str) -> bool) -> Option<i64> {
    let text = machine.text(path, FILE_BYTES)?;
    let lines = text.lines().filter_map(|line| line.split([' ', '\t', ':']).next());
    i64::try_from(lines.filter(|word| passes(word)).count()).ok().filter(|&count| count > 0)
}

/// Sums up the cores of each package, for machines without topology in sysfs.
fn packages(cpuinfo: &str) -> Option<i64> {
    let mut cores: BTreeMap<i64, i64> = BTreeMap::new();
    for processor in cpuinfo.split("\n\n") {
        let number = |key| cpuinfo::value(processor, key)?.parse::<i64>().ok();
        if let (Some(package), Some(count)) = (number("physical id"), number("cpu cores")) {
            cores.insert(package, count);
        }
    }
    cores
        .values()
        .try_fold(0_i64, |sum, &count| sum.checked_add(count))
        .filter(|count| (1..=MOST_CPUS).contains(count))
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::Tree;
    use super::super::super::{Facts, Machine};
    use super::{CpuList, parse};

    /// A machine whose online CPUs have these lists of siblings.
    fn topology(online: &str, present: &str, smt: &str, siblings: &[&str]) -> Tree {
        let tree = Tree::new()
            .file("/sys/devices/system/cpu/online", &format!("{online}\n"))
            .file("/sys/devices/system/cpu/present", &format!("{present}\n"))
            .file("/sys/devices/system/cpu/smt/active", &format!("{smt}\n"));
        siblings.iter().enumerate().filter(|(_, list)| !list.is_empty()).fold(
            tree,
            |tree, (cpu, list)| {
                let folder = format!("/sys/devices/system/cpu/cpu{cpu}/topology");
                tree.file(&format!("{folder}/core_cpus_list"), &format!("{list}\n"))
            },
        )
    }

    fn facts(machine: &Machine) -> (Option<i64>, Option<i64>) {
        let mut facts = Facts::default();
        (super::LOGICAL.read)(machine, &mut facts);
        (super::PHYSICAL.read)(machine, &mut facts);
        (facts.cpu_count, facts.cpu_physical_count)
    }

    fn summary(machine: &Machine) -> Option<i64> {
        super::summary(machine, super::list(machine, super::ONLINE)?)
    }

    #[test]
    fn lists_are_counted() {
        let list = |count, first, last| Some(CpuList { count, first, last });
        assert_eq!(parse("0"), list(1, 0, 0));
        assert_eq!(parse("0-191"), list(192, 0, 191));
        assert_eq!(parse("1,3-4,96"), list(4, 1, 96));
        for text in ["", "-", "a", "0-", "3-1", "0,0", "0-4,2", "0-65536", "-1", "0-3,"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn without_threads_the_summary_needs_no_walk() {
        let tree = topology("0-191", "0-191", "0", &["0"]);
        assert_eq!(facts(&tree.machine()), (Some(192), Some(192)));
    }

    #[test]
    fn with_threads_everywhere_the_summary_needs_no_walk() {
        let mut siblings = vec![""; 192];
        (siblings[0], siblings[191]) = ("0,96", "95,191");
        let tree = topology("0-191", "0-191", "1", &siblings);
        assert_eq!(facts(&tree.machine()), (Some(192), Some(96)));
    }

    #[test]
    fn two_kinds_of_cores_are_walked() {
        let tree = topology("0-5", "0-5", "1", &["0-1", "0-1", "2-3", "2-3", "4", "5"]);
        assert_eq!(summary(&tree.machine()), None);
        assert_eq!(facts(&tree.machine()), (Some(6), Some(4)));
        // The ends of the list look alike; only the kernel's mark tells.
        let siblings = ["0-1", "0-1", "2", "3", "4-5", "4-5"];
        let tree = topology("0-5", "0-5", "1", &siblings).file("/sys/devices/cpu_atom/type", "10");
        assert_eq!(facts(&tree.machine()), (Some(6), Some(4)));
    }

    #[test]
    fn cores_with_an_offline_sibling_are_walked() {
        let tree = topology("0-2", "0-3", "1", &["0-1", "0-1", "2"]);
        assert_eq!(summary(&tree.machine()), None);
        assert_eq!(facts(&tree.machine()), (Some(3), Some(2)));
        // Two in the middle have lost theirs; the ends do not show it.
        let siblings = ["0-1", "0-1", "2", "", "4", "", "6-7", "6-7"];
        let tree = topology("0-2,4,6-7", "0-7", "1", &siblings);
        assert_eq!(summary(&tree.machine()), None);
        assert_eq!(facts(&tree.machine()), (Some(6), Some(4)));
        // The first core has lost its sibling, the second has not.
        let tree = topology("0,2-3", "0-3", "1", &["0", "", "2-3", "2-3"]);
        assert_eq!(summary(&tree.machine()), None);
        assert_eq!(facts(&tree.machine()), (Some(3), Some(2)));
    }

    #[test]
    fn an_old_kernel_has_the_old_name_and_no_summary() {
        let folder = "/sys/devices/system/cpu";
        let tree = (0..4).fold(Tree::new(), |tree, cpu| {
            let core = cpu / 2 * 2;
            let list = format!("{core}-{}\n", core + 1);
            tree.file(&format!("{folder}/cpu{cpu}/topology/thread_siblings_list"), &list)
        });
        let tree = tree
            .file(&format!("{folder}/cpufreq/x"), "")
            .file("/proc/stat", "cpu 1\ncpu0 1\ncpu1 1\n");
        assert_eq!(facts(&tree.machine()), (Some(2), Some(2)));
    }

    #[test]
    fn without_sysfs_the_processors_are_counted() {
        let processor = |number: u32, package: u32| {
            format!("processor\t: {number}\nphysical id\t: {package}\ncpu cores\t: 2\n\n")
        };
        let text: String = (0..8).map(|number| processor(number, number / 4)).collect();
        let tree = Tree::new().file("/proc/cpuinfo", &text);
        assert_eq!(facts(&tree.machine()), (Some(8), Some(4)));
        let large: String = (0..192).map(|number| processor(number, number / 96)).collect();
        let tree = Tree::new().file("/proc/cpuinfo", &large);
        assert_eq!(facts(&tree.machine()).0, Some(192));
    }

    #[test]
    fn aarch64_without_topology_has_no_known_cores() {
        let tree = Tree::new().file("/proc/cpuinfo", "processor\t: 0\nCPU part\t: 0xd0c\n\n");
        assert_eq!(facts(&tree.machine()), (Some(1), None));
    }

    #[test]
    fn garbage_and_nothing_are_unknown() {
        assert_eq!(facts(&Tree::new().machine()), (None, None));
        let tree = topology("x", "y", "z", &["?", ""]).file("/proc/cpuinfo", "cpu cores\t: 9e9\n");
        assert_eq!(facts(&tree.machine()).0, None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn on_this_machine_the_summary_agrees_with_the_walk() {
        let machine = Machine::live(Vec::new());
        let walked = super::SIBLINGS.iter().find_map(|file| super::walk(&machine, file));
        // A virtual machine may lack the files for either of them.
        assert!(summary(&machine).is_none() || walked.is_none() || summary(&machine) == walked);
    }
}
