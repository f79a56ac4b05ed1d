//! Reads how the engine was installed from the first process's cgroup and Python's folders.
//!
//! The words and their order are those of LMCache's reporter. It asks Python's package metadata and
//! runs `conda list`; both read the folders that are read here.

use super::container::{CGROUP, CGROUP_BYTES};
use super::{Machine, Reader};

/// The distribution, as package tools spell it in file names.
const DISTRIBUTION: &str = "lmcache";

pub(super) const READER: Reader = Reader {
    name: "install source",
    read: |machine, facts| facts.install_source = Some(source(machine)),
};

fn source(machine: &Machine) -> &'static str {
    if machine.piece(CGROUP, CGROUP_BYTES, |cgroup| Some(cgroup.contains("docker"))) == Some(true) {
        "DOCKER"
    } else if by_pip(machine) {
        "PIP"
    } else if by_conda(machine) {
        "CONDA"
    } else {
        "UNKNOWN"
    }
}

/// Returns whether the virtual environment has the distribution. A folder there names the Python
/// version; normally there is one.
fn by_pip(machine: &Machine) -> bool {
    let Some(environment) = machine.variable("VIRTUAL_ENV") else {
        return false;
    };
    let library = format!("{environment}/lib");
    machine
        .names(&library)
        .filter(|name| name.starts_with("python"))
        .any(|python| holds(machine, &format!("{library}/{python}/site-packages"), ".dist-info"))
}

/// Returns whether the conda environment has the package.
fn by_conda(machine: &Machine) -> bool {
    machine
        .variable("CONDA_PREFIX")
        .is_some_and(|prefix| holds(machine, &format!("{prefix}/conda-meta"), ".json"))
}

/// Returns whether a folder holds an entry `lmcache-<version><ending>`, in any case of letters.
fn holds(machine: &Machine, folder: &str, ending: &str) -> bool {
    machine.names(folder).any(|name| {
        let name = name.to_ascii_lowercase();
        name.strip_prefix(DISTRIBUTION)
            .and_then(|rest| rest.strip_prefix('-')?.strip_suffix(ending))
            // A version begins with a digit; `lmcache-cli-1.0` is another distribution.
            .is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tree;
    use super::source;

    const VENV: &[(&str, &str)] = &[("VIRTUAL_ENV", "/opt/venv")];
    const CONDA: &[(&str, &str)] = &[("CONDA_PREFIX", "/opt/conda/envs/x")];

    fn packages(entry: &str) -> Tree {
        Tree::new().file(&format!("/opt/venv/lib/python3.12/site-packages/{entry}/METADATA"), "")
    }

    #[test]
    fn a_docker_cgroup_goes_before_everything() {
        for (cgroup, expected) in [
            ("9:pids:/docker/0123\n0::/\n", "DOCKER"),
            ("0::/system.slice/docker-01.scope\n", "DOCKER"),
            ("0::/\n", "PIP"),
        ] {
            let tree = packages("lmcache-0.3.1.dist-info").file(super::CGROUP, cgroup);
            assert_eq!(source(&tree.machine_with(VENV)), expected);
        }
    }

    #[test]
    fn a_distribution_in_the_virtual_environment_is_pip() {
        for entry in ["lmcache-0.3.1.dist-info", "LMCache-0.3.1.dev5+g1a2b.dist-info"] {
            assert_eq!(source(&packages(entry).machine_with(VENV)), "PIP", "{entry}");
        }
        for entry in ["lmcache", "lmcache_vllm-1.0.dist-info", "lmcache-cli-1.0.dist-info"] {
            assert_eq!(source(&packages(entry).machine_with(VENV)), "UNKNOWN", "{entry}");
        }
        let tree = packages("lmcache-0.3.1.dist-info");
        assert_eq!(source(&tree.machine()), "UNKNOWN", "no virtual environment is active");
    }

    #[test]
    fn a_package_in_the_conda_environment_is_conda() {
        let folder = "/opt/conda/envs/x/conda-meta";
        let tree = Tree::new().file(&format!("{folder}/lmcache-0.3.1-py312_0.json"), "");
        assert_eq!(source(&tree.machine_with(CONDA)), "CONDA");
        let tree = Tree::new().file(&format!("{folder}/numpy-2.0-py312_0.json"), "");
        assert_eq!(source(&tree.machine_with(CONDA)), "UNKNOWN");
    }

    #[test]
    fn pip_goes_before_conda() {
        let tree = packages("lmcache-0.3.1.dist-info")
            .file("/opt/conda/envs/x/conda-meta/lmcache-0.3.1-py312_0.json", "");
        assert_eq!(source(&tree.machine_with(&[VENV[0], CONDA[0]])), "PIP");
    }

    #[test]
    fn odd_folders_are_unknown() {
        for folder in ["", "relative", "/missing", "/../..", "\u{0}"] {
            let machine =
                Tree::new().machine_with(&[("VIRTUAL_ENV", folder), ("CONDA_PREFIX", folder)]);
            assert_eq!(source(&machine), "UNKNOWN", "{folder:?}");
        }
    }
}
