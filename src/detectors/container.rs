//! Reads the kind of container from marker files, variables, cgroup and mounts.
//!
//! The original reporters look for `docker` in a cgroup, which cgroup version 2 hides; their answer
//! is the install source, and this fact is our own. Only the kind is kept: ids, pod names and image
//! names in these files never leave this module.

use super::{Machine, Reader};

/// The cgroup of the first process.
pub(super) const CGROUP: &str = "/proc/1/cgroup";

/// Most bytes of [`CGROUP`]: a line for each controller, each with one path.
pub(super) const CGROUP_BYTES: usize = 64 * 1024;

/// Most bytes of `/proc/self/mountinfo`. The mounts of interest come first; a node with many volumes
/// can have thousands of lines.
const MOUNT_BYTES: usize = 256 * 1024;

/// Paths that exist in one kind of container only. Kubernetes comes first because a pod may also have
/// the marker of its runtime.
const MARKERS: [(&str, &str); 5] = [
    ("/var/run/secrets/kubernetes.io", "kubernetes"),
    ("/run/secrets/kubernetes.io", "kubernetes"),
    ("/run/.containerenv", "podman"),
    ("/.dockerenv", "docker"),
    ("/.singularity.d", "apptainer"),
];

/// Variables that are set in one kind of container only.
const VARIABLES: [(&str, &str); 3] = [
    ("KUBERNETES_SERVICE_HOST", "kubernetes"),
    ("APPTAINER_CONTAINER", "apptainer"),
    ("SINGULARITY_CONTAINER", "apptainer"),
];

/// Kinds that `container=` and `/run/systemd/container` may name; any other word is dropped.
const KINDS: [&str; 7] =
    ["containerd", "docker", "lxc", "lxc-libvirt", "oci", "podman", "systemd-nspawn"];

/// Parts of a cgroup path, each with the runtime that makes them.
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

/// Parts of a mount's source, each with the runtime that makes them. `/etc/hosts` and `/etc/hostname`
/// are mounted from the runtime's own folder, the root from its image store.
const MOUNTS: [(&str, &str); 6] = [
    ("/kubelet/pods/", "kubernetes"),
    ("/libpod/", "podman"),
    ("/containers/storage/overlay", "podman"),
    ("/docker/containers/", "docker"),
    ("/docker/overlay2/", "docker"),
    ("io.containerd.", "containerd"),
];

/// Places at which every container runtime mounts something of its own.
const MOUNT_POINTS: [&str; 4] = ["/", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];

pub(super) const READER: Reader =
    Reader { name: "container", read: |machine, facts| facts.container = kind(machine) };

fn kind(machine: &Machine) -> Option<&'static str> {
    by_variable(machine)
        .or_else(|| MARKERS.iter().find(|(path, _)| machine.exists(path)).map(|&(_, kind)| kind))
        .or_else(|| named(machine.variable("container")?))
        .or_else(|| named(&machine.attribute("/run/systemd/container")?))
        .or_else(|| machine.piece(CGROUP, CGROUP_BYTES, by_cgroup))
        .or_else(|| by_mount(&machine.text("/proc/self/mountinfo", MOUNT_BYTES)?))
}

/// Returns whether a kind of container is a runtime in the sense of `container.runtime.name`.
pub(super) fn is_runtime(kind: &str) -> bool {
    !matches!(kind, "kubernetes" | "oci")
}

fn by_cgroup(cgroup: &str) -> Option<&'static str> {
    GROUPS.iter().find(|(part, _)| cgroup.contains(part)).map(|&(_, kind)| kind)
}

fn by_variable(machine: &Machine) -> Option<&'static str> {
    VARIABLES.iter().find(|(name, _)| machine.has_variable(name)).map(|&(_, kind)| kind)
}

/// Returns a kind of [`KINDS`] by its name.
pub(super) fn named(kind: &str) -> Option<&'static str> {
    KINDS.iter().copied().find(|&known| known == kind.trim())
}

/// Finds the runtime by the mounts at [`MOUNT_POINTS`]. A host that runs containers shows their mounts,
/// too, but at other places.
fn by_mount(mountinfo: &str) -> Option<&'static str> {
    let lines = || mountinfo.lines().filter(|line| is_own_mount(line));
    MOUNTS.iter().find(|(part, _)| lines().any(|line| line.contains(part))).map(|&(_, kind)| kind)
}

/// Returns whether a line of `/proc/self/mountinfo` is about one of [`MOUNT_POINTS`].
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
            assert_eq!(
                kind(&Tree::new().file("/proc/1/cgroup", cgroup).machine()),
                Some(expected),
                "{cgroup}"
            );
        }
    }

    #[test]
    fn version_2_hides_the_cgroup_and_the_markers_count() {
        for (path, expected) in [
            ("/.dockerenv", "docker"),
            ("/run/.containerenv", "podman"),
            ("/var/run/secrets/kubernetes.io/serviceaccount/token", "kubernetes"),
            ("/.singularity.d/runscript", "apptainer"),
        ] {
            let tree = Tree::new().file("/proc/1/cgroup", "0::/\n").file(path, "");
            assert_eq!(kind(&tree.machine()), Some(expected), "{path}");
        }
    }

    #[test]
    fn variables_count_and_an_orchestrator_goes_before_its_runtime() {
        let pod = Tree::new().file("/proc/1/cgroup", "0::/\n").file("/.dockerenv", "");
        let machine = pod.machine_with(&[("KUBERNETES_SERVICE_HOST", "10.0.0.1")]);
        assert_eq!(kind(&machine), Some("kubernetes"));
        let empty = Tree::new();
        let container = |value| {
            let machine = empty.machine_with(&[("container", value)]);
            kind(&machine)
        };
        assert_eq!(container("systemd-nspawn"), Some("systemd-nspawn"));
        assert_eq!(container("podman"), Some("podman"));
        assert_eq!(container("my-secret-name"), None);
        let machine = empty.machine_with(&[("SINGULARITY_CONTAINER", "/home/alice/x.sif")]);
        assert_eq!(kind(&machine), Some("apptainer"));
    }

    #[test]
    fn without_any_marker_the_mounts_count() {
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
            // A host that shows mounts of its containers is not in a container itself.
            assert_eq!(by_mount(&line(source, "/mnt/hosts")), None, "{source}");
        }
        let root =
            "1 0 0:1 / / rw - overlay overlay rw,upperdir=/var/lib/docker/overlay2/01/diff\n";
        let tree = Tree::new().file("/proc/self/mountinfo", root).file("/proc/1/cgroup", "0::/\n");
        assert_eq!(kind(&tree.machine()), Some("docker"));
    }

    #[test]
    fn bare_metal_and_garbage_are_no_container() {
        let tree = Tree::new()
            .file("/proc/1/cgroup", "0::/init.scope\n")
            .file("/proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\u{0}\n\n")
            .file("/run/systemd/container", "???");
        assert_eq!(kind(&tree.machine()), None);
        assert_eq!(kind(&Tree::new().machine()), None);
    }
}
