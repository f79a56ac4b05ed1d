//! Reads the host's memory from `/proc/meminfo` and the limit of this process from cgroup files.
//!
//! The two are separate facts because reports have always carried the host's memory. If a container
//! runtime replaces `/proc/meminfo`, its number counts, as for psutil; `sysinfo(2)` would miss it.

use super::{Machine, Reader};

/// Most bytes of `/proc/meminfo`: `MemTotal` is its first line.
const HEAD_BYTES: usize = 256;

/// Most bytes of `/proc/self/cgroup`: a line for each controller, each with one path.
const CGROUP_BYTES: usize = 64 * 1024;

/// Most levels of the cgroup tree; container runtimes use four to six.
const LEVELS: usize = 16;

/// Larger limits mean "no limit": version 1 has no word for it and shows the largest number of whole
/// pages, just below 2^63.
const UNLIMITED: i64 = 1 << 62;

pub(super) const TOTAL: Reader = Reader {
    name: "memory",
    read: |machine, facts| {
        facts.memory_bytes = machine.piece("/proc/meminfo", HEAD_BYTES, total);
    },
};

pub(super) const LIMIT: Reader = Reader {
    name: "memory limit",
    read: |machine, facts| facts.memory_limit_bytes = limit(machine),
};

/// Returns `MemTotal` in bytes; the file has kibibytes.
fn total(meminfo: &str) -> Option<i64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: i64 = line.split_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024).filter(|&bytes| bytes > 0)
}

/// Returns the smallest limit from this process's cgroup up to the root.
fn limit(machine: &Machine) -> Option<i64> {
    machine.piece("/proc/self/cgroup", CGROUP_BYTES, |groups| {
        // A controller is in one hierarchy: if version 1 has memory, version 2 does not.
        let (mount, group, file) = match version_1(groups) {
            Some(group) => ("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes"),
            None => {
                let group = groups.split('\n').find_map(|line| line.strip_prefix("0::"))?;
                ("/sys/fs/cgroup", group, "memory.max")
            }
        };
        // Inside a container the path may be the host's, which is not mounted here. Missing levels
        // have no limit, and the mount itself is then the container's own group.
        let above = group.contains("..") && group.split('/').any(|level| level == "..");
        let group = if above { "" } else { group.trim_matches('/') };
        let mut path = String::with_capacity(256);
        std::iter::successors(Some(group), |level| {
            (!level.is_empty()).then(|| level.rsplit_once('/').map_or("", |(parent, _)| parent))
        })
        .take(LEVELS)
        .filter_map(|level| {
            path.clear();
            path.extend([mount, "/", level, "/", file]);
            machine.number(&path)
        })
        .filter(|bytes| (1..UNLIMITED).contains(bytes))
        .min()
    })
}

/// Returns the group in the hierarchy of the memory controller. Other lines, which may be a dozen,
/// are not parsed.
fn version_1(groups: &str) -> Option<&str> {
    groups.match_indices("memory").find_map(|(at, _)| {
        let start = groups.get(..at)?.rfind('\n').map_or(0, |end| end.saturating_add(1));
        let mut fields = groups.get(start..)?.split('\n').next()?.splitn(3, ':').skip(1);
        let (controllers, group) = (fields.next()?, fields.next()?);
        controllers.split(',').any(|controller| controller == "memory").then_some(group)
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tree;
    use super::super::{Facts, Machine};
    use super::{limit, total};

    const MEMINFO: &str = "MemTotal:       24684096 kB\nMemFree:        20000000 kB\n";

    fn facts(machine: &Machine) -> Facts {
        let mut facts = Facts::default();
        (super::TOTAL.read)(machine, &mut facts);
        (super::LIMIT.read)(machine, &mut facts);
        facts
    }

    #[test]
    fn kibibytes_become_bytes() {
        let tree = Tree::new().file("/proc/meminfo", MEMINFO);
        assert_eq!(facts(&tree.machine()).memory_bytes, Some(25_276_514_304));
    }

    #[test]
    fn an_invalid_size_is_unknown() {
        for text in ["", "MemTotal:", "MemTotal: x kB", "MemTotal: -5 kB", "MemTotal: 0 kB"] {
            assert_eq!(total(text), None, "{text}");
        }
        assert_eq!(total("MemTotal: 9223372036854775807 kB"), None);
        assert_eq!(facts(&Tree::new().machine()), Facts::default());
    }

    #[test]
    fn a_version_2_limit_at_the_mount_is_that_of_the_container() {
        let tree = Tree::new()
            .file("/proc/meminfo", MEMINFO)
            .file("/proc/self/cgroup", "0::/\n")
            .file("/sys/fs/cgroup/memory.max", "8589934592\n");
        let facts = facts(&tree.machine());
        assert_eq!(facts.memory_limit_bytes, Some(8_589_934_592));
        assert_eq!(facts.memory_bytes, Some(25_276_514_304));
    }

    #[test]
    fn the_smallest_limit_on_the_way_up_counts() {
        let tree = Tree::new()
            .file("/proc/self/cgroup", "0::/a/b/c\n")
            .file("/sys/fs/cgroup/a/b/c/memory.max", "max\n")
            .file("/sys/fs/cgroup/a/b/memory.max", "1000\n")
            .file("/sys/fs/cgroup/a/memory.max", "3000\n");
        assert_eq!(limit(&tree.machine()), Some(1000));
    }

    #[test]
    fn a_version_1_limit_is_found_and_its_largest_number_means_no_limit() {
        let tree = Tree::new()
            .file("/proc/self/cgroup", "8:cpu,cpuacct:/x\n4:memory:/docker/0123\n0::/x\n")
            .file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "4294967296\n");
        assert_eq!(limit(&tree.machine()), Some(4_294_967_296));
        let tree = Tree::new()
            .file("/proc/self/cgroup", "4:memory:/\n")
            .file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(limit(&tree.machine()), None);
    }

    #[test]
    fn a_group_above_our_namespace_does_not_lead_astray() {
        let tree = Tree::new()
            .file("/proc/self/cgroup", "0::/../../other\n")
            .file("/sys/fs/cgroup/other/memory.max", "1\n")
            .file("/sys/fs/cgroup/memory.max", "2000\n");
        assert_eq!(limit(&tree.machine()), Some(2000));
    }

    #[test]
    fn only_a_level_that_is_two_dots_leads_up() {
        let group = |name: &str| {
            Tree::new()
                .file("/proc/self/cgroup", &format!("0::{name}\n"))
                .file(&format!("/sys/fs/cgroup{name}/memory.max"), "1000\n")
                .file("/sys/fs/cgroup/memory.max", "2000\n")
        };
        for name in ["/a..b", "/user.slice/job..7.scope", "/..x", "/x..", "/...", "/a/..b/c"] {
            assert_eq!(limit(&group(name).machine()), Some(1000), "{name}");
        }
        for name in ["/..", "/../x", "/a/../b", "/a/.."] {
            let tree = Tree::new()
                .file("/proc/self/cgroup", &format!("0::{name}\n"))
                .file("/sys/fs/cgroup/x/memory.max", "1\n")
                .file("/sys/fs/cgroup/b/memory.max", "1\n")
                .file("/sys/fs/cgroup/memory.max", "2000\n");
            assert_eq!(limit(&tree.machine()), Some(2000), "{name}");
        }
    }

    #[test]
    fn garbage_is_no_limit() {
        for text in ["", "0", "0::", ":::", "0::/\n\u{0}:\u{0}:", "x:memory"] {
            let tree = Tree::new()
                .file("/proc/self/cgroup", text)
                .file("/sys/fs/cgroup/memory.max", "lots");
            assert_eq!(limit(&tree.machine()), None, "{text}");
        }
    }
}
