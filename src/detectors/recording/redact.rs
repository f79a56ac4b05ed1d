//! Redacts files and variables of a machine for a recording.
//!
//! A recording is made to be given away. It holds what the readers look at, and nothing that names a
//! machine, a user or a workload: text without a rule here is left out. The rules keep the facts; the
//! command compares a recording with its machine.

use super::super::{cloud, container};

/// Replaces a word that may be a name.
const REMOVED: &str = "x";

/// Keys of `/proc/cpuinfo` that are kept; a serial number is among the others.
const CPU_KEYS: [&str; 16] = [
    "CPU architecture",
    "CPU implementer",
    "CPU part",
    "CPU revision",
    "CPU variant",
    "core id",
    "cpu",
    "cpu cores",
    "cpu family",
    "model",
    "model name",
    "physical id",
    "processor",
    "stepping",
    "uarch",
    "vendor_id",
];

/// Words of cgroup and mount paths that every machine has. All others may be ids or chosen names.
const PATH_WORDS: [&str; 28] = [
    "besteffort",
    "burstable",
    "conf",
    "containers",
    "cri",
    "crio",
    "etc",
    "guaranteed",
    "hostname",
    "hosts",
    "init",
    "io",
    "kubelet",
    "lib",
    "machine",
    "memory",
    "overlay",
    "overlay2",
    "pods",
    "podman",
    "resolv",
    "scope",
    "service",
    "slice",
    "storage",
    "system",
    "user",
    "var",
];

/// Parts of words that are kept without the rest of the word.
const PATH_MARKS: [&str; 5] = ["docker", "kubepods", "libpod", "containerd", "lxc"];

/// Returns what is kept of a file's text, or `None` for a file that is not kept.
pub(super) fn text(path: &str, text: &str) -> Option<String> {
    let lines = |keep: &dyn Fn(&str) -> Option<String>| -> String {
        text.lines().filter_map(keep).map(|line| line + "\n").collect()
    };
    Some(match path {
        "/proc/cpuinfo" => lines(&|line| {
            let key = line.split(':').next().unwrap_or_default().trim();
            (key.is_empty() || CPU_KEYS.contains(&key)).then(|| line.to_owned())
        }),
        "/proc/meminfo" => lines(&|line| line.starts_with("MemTotal:").then(|| line.to_owned())),
        "/proc/stat" => lines(&|line| {
            let name = line.split(' ').next().filter(|name| name.starts_with("cpu"))?;
            Some(format!("{name} 0"))
        }),
        "/proc/1/cgroup" | "/proc/self/cgroup" => lines(&|line| {
            let (controllers, group) = line.rsplit_once(':')?;
            Some(format!("{controllers}:{}", words(group)))
        }),
        "/proc/self/mountinfo" => lines(&|line| container::is_own_mount(line).then(|| words(line))),
        "/run/systemd/container" => container::named(text).unwrap_or(REMOVED).to_owned() + "\n",
        // Owners write inventory numbers into it, except in a cloud.
        "/sys/class/dmi/id/chassis_asset_tag" if !cloud::is_telling(text) => REMOVED.to_owned(),
        _ if KEPT_WHOLE.iter().any(|start| path.starts_with(start)) => text.to_owned(),
        _ => return None,
    })
}

/// Beginnings of the paths of files that hold numbers, or names of products.
const KEPT_WHOLE: [&str; 4] = [
    "/System/Library/CoreServices/SystemVersion.plist",
    "/sys/class/dmi/id/",
    "/sys/devices/system/cpu/",
    "/sys/fs/cgroup/",
];

/// Returns the path under which a file is kept.
pub(super) fn path(path: &str) -> String {
    let group = path.strip_prefix("/sys/fs/cgroup").and_then(|rest| rest.rsplit_once('/'));
    match group {
        Some((group, file)) => format!("/sys/fs/cgroup{}/{file}", words(group)),
        None => path.to_owned(),
    }
}

/// Returns a line or path with only the words that every machine has.
fn words(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = first.is_alphanumeric();
        let end = rest.find(|c: char| c.is_alphanumeric() != is_word).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        kept.push_str(if is_word { word(part) } else { part });
        rest = after;
    }
    kept
}

fn word(word: &str) -> &str {
    if PATH_WORDS.contains(&word) {
        return word;
    }
    PATH_MARKS.iter().find(|mark| word.contains(**mark)).copied().unwrap_or(REMOVED)
}

/// Returns what is kept of a variable; for most, only their presence matters.
pub(super) fn variable(name: &str, value: &str) -> String {
    let numbers = |c: char| c.is_ascii_digit() || matches!(c, ',' | '-' | ' ');
    match (name, value) {
        (_, "") => "",
        ("CONDA_PREFIX", _) => CONDA,
        ("PATH", _) => BIN,
        ("VIRTUAL_ENV", _) => VENV,
        ("container", _) => container::named(value).unwrap_or(REMOVED),
        ("CUDA_DEVICE_ORDER", "FASTEST_FIRST" | "PCI_BUS_ID") => value,
        ("CUDA_VISIBLE_DEVICES", _) if value.chars().all(numbers) => value,
        _ => REMOVED,
    }
    .to_owned()
}

/// The folder of programs in a recording.
pub(super) const BIN: &str = "/usr/bin";
/// The virtual environment in a recording.
pub(super) const VENV: &str = "/venv";
/// The conda environment in a recording.
pub(super) const CONDA: &str = "/conda";

#[cfg(test)]
mod tests {
    use super::{path, text, variable, words};

    #[test]
    fn ids_and_names_are_replaced() {
        for (before, after) in [
            ("/docker/0a1b2c3d4e5f", "/docker/x"),
            ("/system.slice/docker-0a1b.scope", "/system.slice/docker-x.scope"),
            ("/user.slice/user-1000.slice/session-3.scope", "/user.slice/user-x.slice/x-x.scope"),
            ("/kubepods.slice/kubepods-podab_cd.slice", "/kubepods.slice/kubepods-x_x.slice"),
            ("/machine.slice/machine-alice\\x2dvm", "/machine.slice/machine-x\\x"),
            ("/mydockers/Älice", "/docker/x"),
            ("/../..", "/../.."),
        ] {
            assert_eq!(words(before), after);
            assert_eq!(words(after), after, "twice is the same");
        }
        assert_eq!(
            path("/sys/fs/cgroup/memory/docker/0a1b/memory.limit_in_bytes"),
            "/sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes"
        );
        assert_eq!(path("/sys/fs/cgroup/memory.max"), "/sys/fs/cgroup/memory.max");
        assert_eq!(path("/proc/1/cgroup"), "/proc/1/cgroup");
    }

    #[test]
    fn files_keep_the_lines_that_are_read() {
        let cpuinfo =
            "processor\t: 0\nmodel name\t: A\nflags\t: fpu\n\nSerial\t\t: 00000000deadbeef\n";
        let kept = text("/proc/cpuinfo", cpuinfo).unwrap();
        assert_eq!(kept, "processor\t: 0\nmodel name\t: A\n\n");
        let kept = text("/proc/meminfo", "MemTotal: 1 kB\nMemFree: 1 kB\n").unwrap();
        assert_eq!(kept, "MemTotal: 1 kB\n");
        assert_eq!(text("/proc/stat", "cpu 7 8\ncpu0 9\nintr 1\n").unwrap(), "cpu 0\ncpu0 0\n");
        let mounts = "1 0 8:1 /home/alice /mnt/alice rw - nfs nas.example:/alice rw\n\
                      2 0 8:1 /var/lib/docker/containers/0a1b/hosts /etc/hosts rw - ext4 /dev/sda1 rw\n";
        let kept = text("/proc/self/mountinfo", mounts).unwrap();
        assert_eq!(kept, "x x x:x /var/lib/docker/containers/x/hosts /etc/hosts x - x /x/x x\n");
        assert_eq!(text("/etc/hostname", "alice"), None);
    }

    #[test]
    fn an_inventory_number_is_removed_and_a_cloud_is_kept() {
        let tag = "/sys/class/dmi/id/chassis_asset_tag";
        assert_eq!(text(tag, "INV-0815\n").unwrap(), "x");
        assert_eq!(text(tag, "OracleCloud.com\n").unwrap(), "OracleCloud.com\n");
    }

    #[test]
    fn variables_are_moved_or_replaced() {
        for (name, before, after) in [
            ("PATH", "/home/alice/bin", "/usr/bin"),
            ("VIRTUAL_ENV", "/home/alice/venv", "/venv"),
            ("CONDA_PREFIX", "/home/alice/conda", "/conda"),
            ("CUDA_VISIBLE_DEVICES", "0,-1", "0,-1"),
            ("CUDA_VISIBLE_DEVICES", "GPU-8f6d9c5e", "x"),
            ("CUDA_DEVICE_ORDER", "PCI_BUS_ID", "PCI_BUS_ID"),
            ("RUNPOD_DC_ID", "US-KS-2", "x"),
            ("RUNPOD_DC_ID", "", ""),
            ("container", "podman", "podman"),
            ("container", "alice", "x"),
        ] {
            assert_eq!(variable(name, before), after, "{name}");
        }
    }
}
