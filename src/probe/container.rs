//! Marker files, a few variables, the cgroup of the first process and our own mounts come in;
//! the kind of container goes out.
//!
//! The original reporters look for `docker` in a cgroup, which cgroup version 2 hides; that
//! answer lives in `source`, this one is our own. Only the kind is kept: ids, pod names and
//! image names in these files never leave this module.

use super::{Facts, Machine, reuse_cgroup};

/// Most bytes of `/proc/self/mountinfo`. The mounts that tell come first; a node with many
/// volumes can have thousands of lines.
const MOUNT_BYTES: usize = 256 * 1024;

/// Paths whose mere presence tells, surest first: a pod may also carry its runtime's marker.
const MARKERS: [(&str, &str); 5] = [
    ("/var/run/secrets/kubernetes.io", "kubernetes"),
    ("/run/secrets/kubernetes.io", "kubernetes"),
    ("/run/.containerenv", "podman"),
    ("/.dockerenv", "docker"),
    ("/.singularity.d", "apptainer"),
];

/// Variables whose presence tells.
const VARIABLES: [(&str, &str); 3] = [
    ("KUBERNETES_SERVICE_HOST", "kubernetes"),
    ("APPTAINER_CONTAINER", "apptainer"),
    ("SINGULARITY_CONTAINER", "apptainer"),
];

/// Kinds that `container=` and `/run/systemd/container` may name; others are not passed on.
const KINDS: [&str; 7] =
    ["containerd", "docker", "lxc", "lxc-libvirt", "oci", "podman", "systemd-nspawn"];

/// Parts of a cgroup path, and what puts them there.
const GROUPS: [(&str, &str); 8] = [
    ("kubepods", "kubernetes"),
    ("libpod", "podman"),
    ("docker", "docker"),
    ("crio-", "cri-o"),
    ("cri-containerd", "containerd"),
    ("/containerd", "containerd"),
    ("/lxc", "lxc"),
    ("machine.slice/machine-", "systemd-nspawn"),
];

/// Parts of a mount's source, and what puts them there. `/etc/hosts` and `/etc/hostname`
/// are mounted from the runtime's own folder, and the root from its image store.
const MOUNTS: [(&str, &str); 6] = [
    ("/kubelet/pods/", "kubernetes"),
    ("/libpod/", "podman"),
    ("/containers/storage/overlay", "podman"),
    ("/docker/containers/", "docker"),
    ("/docker/overlay2/", "docker"),
    ("io.containerd.", "containerd"),
];

/// Where every container runtime mounts something of its own.
const MOUNT_POINTS: [&str; 4] = ["/", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];

/// Fills in the kind of container; `cgroup` is `/proc/1/cgroup`, empty if unreadable.
pub(super) fn fill(machine: &Machine, cgroup: &str, facts: &mut Facts) {
    facts.container = kind(machine, cgroup).map(str::to_owned);
}

fn kind(machine: &Machine, cgroup: &str) -> Option<&'static str> {
    by_variable(machine)
        .or_else(|| MARKERS.iter().find(|(path, _)| machine.exists(path)).map(|&(_, kind)| kind))
        .or_else(|| named(machine.variable("container")?))
        .or_else(|| named(&machine.attribute("/run/systemd/container")?))
        .or_else(|| {
            reuse_cgroup(machine, cgroup);
            GROUPS.iter().find(|(part, _)| cgroup.contains(part)).map(|&(_, kind)| kind)
        })
        .or_else(|| by_mount(&machine.text("/proc/self/mountinfo", MOUNT_BYTES)?))
}

fn by_variable(machine: &Machine) -> Option<&'static str> {
    VARIABLES.iter().find(|(name, _)| machine.has_variable(name)).map(|&(_, kind)| kind)
}

/// A kind that something names, if it is one that is passed on.
pub(super) fn named(kind: &str) -> Option<&'static str> {
    KINDS.iter().copied().find(|&known| known == kind.trim())
}

/// Looks at the mounts of runtimes only: a host that runs containers shows theirs too, at
/// other places.
fn by_mount(mountinfo: &str) -> Option<&'static str> {
    let lines = || mountinfo.lines().filter(|line| is_own_mount(line));
    MOUNTS.iter().find(|(part, _)| lines().any(|line| line.contains(part))).map(|&(_, kind)| kind)
}

/// Whether a line of `/proc/self/mountinfo` is about a place where runtimes mount their own.
pub(super) fn is_own_mount(line: &str) -> bool {
    line.split(' ').nth(4).is_some_and(|point| MOUNT_POINTS.contains(&point))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tree;
    use super::{by_mount, kind};

    #[test]
    fn version_1_cgroups_name_the_runtime() {
        for (cgroup, expected) in [
            ("12:pids:/docker/0123\n0::/docker/0123\n", "docker"),
            ("11:memory:/system.slice/docker-0123.scope\n", "docker"),
            ("4:cpu:/kubepods/besteffort/pod1/0123\n", "kubernetes"),
            ("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-01.scope\n", "kubernetes"),
            ("0::/machine.slice/libpod-0123.scope\n", "podman"),
            ("1:name=systemd:/containerd/0123\n", "containerd"),
            ("0::/lxc/guest\n", "lxc"),
        ] {
            assert_eq!(kind(&Tree::new().machine(), cgroup), Some(expected), "{cgroup}");
        }
    }

    #[test]
    fn version_2_hides_the_cgroup_and_the_markers_tell() {
        for (path, expected) in [
            ("/.dockerenv", "docker"),
            ("/run/.containerenv", "podman"),
            ("/var/run/secrets/kubernetes.io/serviceaccount/token", "kubernetes"),
            ("/.singularity.d/runscript", "apptainer"),
        ] {
            let tree = Tree::new().file(path, "");
            assert_eq!(kind(&tree.machine(), "0::/\n"), Some(expected), "{path}");
        }
    }

    #[test]
    fn variables_tell_and_an_orchestrator_goes_before_its_runtime() {
        let pod = Tree::new().file("/.dockerenv", "");
        let machine = pod.machine_with(&[("KUBERNETES_SERVICE_HOST", "10.0.0.1")]);
        assert_eq!(kind(&machine, "0::/\n"), Some("kubernetes"));
        let empty = Tree::new();
        let container = |value| {
            let machine = empty.machine_with(&[("container", value)]);
            kind(&machine, "")
        };
        assert_eq!(container("systemd-nspawn"), Some("systemd-nspawn"));
        assert_eq!(container("podman"), Some("podman"));
        assert_eq!(container("my-secret-name"), None);
        let machine = empty.machine_with(&[("SINGULARITY_CONTAINER", "/home/alice/x.sif")]);
        assert_eq!(kind(&machine, ""), Some("apptainer"));
    }

    #[test]
    fn without_any_marker_the_mounts_tell() {
        let line = |source: &str, point: &str| {
            format!("523 510 8:1 {source} {point} rw,relatime - ext4 /dev/sda1 rw\n")
        };
        for (source, expected) in [
            ("/var/lib/docker/containers/01/hosts", "docker"),
            ("/var/lib/kubelet/pods/01/etc-hosts", "kubernetes"),
            ("/containers/storage/overlay-containers/01/userdata/hosts", "podman"),
            ("/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/01/hosts", "containerd"),
        ] {
            assert_eq!(by_mount(&line(source, "/etc/hosts")), Some(expected), "{source}");
            // What a host shows of the containers it runs does not put it into one.
            assert_eq!(by_mount(&line(source, "/mnt/hosts")), None, "{source}");
        }
        let root =
            "1 0 0:1 / / rw - overlay overlay rw,upperdir=/var/lib/docker/overlay2/01/diff\n";
        let tree = Tree::new().file("/proc/self/mountinfo", root);
        assert_eq!(kind(&tree.machine(), "0::/\n"), Some("docker"));
    }

    #[test]
    fn bare_metal_and_garbage_are_no_container() {
        let tree = Tree::new()
            .file("/proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\u{0}\n\n")
            .file("/run/systemd/container", "???");
        assert_eq!(kind(&tree.machine(), "0::/init.scope\n"), None);
        assert_eq!(kind(&Tree::new().machine(), ""), None);
    }
}
