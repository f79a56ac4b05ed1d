//! `/proc/meminfo` and the cgroup files come in, bytes go out: what the host has, and what
//! this process may use of it.
//!
//! The two are kept apart: the reports have always carried the host's memory. A container
//! runtime that rewrites `/proc/meminfo` is believed, as psutil believes it; `sysinfo(2)`,
//! twenty times cheaper, would not see that.

use super::{Facts, Machine};

/// Most bytes of `/proc/self/cgroup`: a line per controller, each with one path.
const CGROUP_BYTES: usize = 64 * 1024;

/// Most levels of the cgroup tree walked up; container runtimes use four to six.
const LEVELS: usize = 16;

/// Limits from here on mean "none": version 1 has no word for it and shows the largest
/// number of whole pages, just below 2^63.
const UNLIMITED: i64 = 1 << 62;

/// Fills in the host's memory.
pub(super) fn fill_total(machine: &Machine, facts: &mut Facts) {
    facts.memory_bytes = machine.head("/proc/meminfo", total);
}

/// Fills in the limit.
pub(super) fn fill_limit(machine: &Machine, facts: &mut Facts) {
    facts.memory_limit_bytes = limit(machine);
}

/// `MemTotal` in bytes. The file gives kibibytes, and the line stands first.
fn total(meminfo: &str) -> Option<i64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: i64 = line.split_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024).filter(|&bytes| bytes > 0)
}

/// The smallest limit on the way from this process' cgroup up to the root.
fn limit(machine: &Machine) -> Option<i64> {
    machine.piece("/proc/self/cgroup", CGROUP_BYTES, |groups| {
        // A controller is in one hierarchy: where version 1 has memory, version 2 has not.
        match version_1(groups) {
            Some(group) => {
                smallest(machine, "/sys/fs/cgroup/memory", group, "memory.limit_in_bytes")
            }
            None => {
                let group = groups.split('\n').find_map(|line| line.strip_prefix("0::"))?;
                smallest(machine, "/sys/fs/cgroup", group, "memory.max")
            }
        }
    })
}

/// The group in the hierarchy of the memory controller. Its line is found by the word: there may
/// be a dozen others, and none is taken apart for nothing.
fn version_1(groups: &str) -> Option<&str> {
    groups.match_indices("memory").find_map(|(at, _)| {
        let start = groups.get(..at)?.rfind('\n').map_or(0, |end| end.saturating_add(1));
        let line = groups.get(start..)?.split('\n').next()?;
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, group) = (fields.next()?, fields.next()?);
        controllers.split(',').any(|controller| controller == "memory").then_some(group)
    })
}

/// The smallest limit in a hierarchy, from a group up to where it is mounted.
fn smallest(machine: &Machine, mount: &str, group: &str, file: &str) -> Option<i64> {
    // Inside a container the path may be the host's, which is not mounted here; the levels
    // that are missing say nothing, and the mount itself is then the container's own group.
    let group = if group.contains("..") { "" } else { group.trim_matches('/') };
    let mut level = Some(group);
    let mut path = String::with_capacity(256);
    std::iter::from_fn(|| {
        let group = level?;
        level = match group.rsplit_once('/') {
            Some((parent, _)) => Some(parent),
            None => (!group.is_empty()).then_some(""),
        };
        Some(group)
    })
    .take(LEVELS)
    .filter_map(|group| {
        path.clear();
        path.push_str(mount);
        path.push_str(if group.is_empty() { "" } else { "/" });
        path.push_str(group);
        path.push('/');
        path.push_str(file);
        machine.number(&path)
    })
    .filter(|bytes| (1..UNLIMITED).contains(bytes))
    .min()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tree;
    use super::super::{Facts, Machine};
    use super::{limit, total};

    const MEMINFO: &str = "MemTotal:       24684096 kB\nMemFree:        20000000 kB\n";

    fn facts(machine: &Machine) -> Facts {
        let mut facts = Facts::default();
        super::fill_total(machine, &mut facts);
        super::fill_limit(machine, &mut facts);
        facts
    }

    #[test]
    fn kibibytes_become_bytes() {
        let tree = Tree::new().file("/proc/meminfo", MEMINFO);
        assert_eq!(facts(&tree.machine()).memory_bytes, Some(25_276_514_304));
    }

    #[test]
    fn what_is_no_size_is_unknown() {
        for text in ["", "MemTotal:", "MemTotal: x kB", "MemTotal: -5 kB", "MemTotal: 0 kB"] {
            assert_eq!(total(text), None, "{text}");
        }
        assert_eq!(total("MemTotal: 9223372036854775807 kB"), None);
        assert_eq!(facts(&Tree::new().machine()), Facts::default());
    }

    #[test]
    fn a_version_2_limit_at_the_mount_is_the_containers() {
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
    fn a_version_1_limit_is_found_and_its_largest_number_is_none() {
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
    fn garbage_is_no_limit() {
        for text in ["", "0", "0::", ":::", "0::/\n\u{0}:\u{0}:", "x:memory"] {
            let tree = Tree::new()
                .file("/proc/self/cgroup", text)
                .file("/sys/fs/cgroup/memory.max", "lots");
            assert_eq!(limit(&tree.machine()), None, "{text}");
        }
    }
}
