//! Fuzzes the container runtime and the install source by cgroups, mounts, marker files and variables. Each must
//! be one of few words, because these files hold ids, pod names and image names.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use otel_usage_fuzz::{Tree, look};

static TREE: LazyLock<Tree> = LazyLock::new(|| {
    Tree::new(&[
        "/proc/1/cgroup",
        "/proc/self/mountinfo",
        "/run/systemd/container",
        "/.dockerenv",
        "/run/.containerenv",
        "/venv/lib/python3.12/site-packages/lmcache-0.5.6.dist-info/METADATA",
        "/conda/conda-meta/lmcache-0.5.6-py312_0.json",
    ])
});

const VARIABLES: [&str; 6] = [
    "APPTAINER_CONTAINER",
    "CONDA_PREFIX",
    "KUBERNETES_SERVICE_HOST",
    "SINGULARITY_CONTAINER",
    "VIRTUAL_ENV",
    "container",
];

fuzz_target!(|input: ([Option<&[u8]>; 7], [Option<&str>; 6])| {
    let (files, values) = input;
    let variables = VARIABLES.into_iter().zip(values);
    let set = variables.filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
    let facts = look(&TREE.machine(files).with_environment(set));
    let word = |text: &&str| {
        text.len() <= 16 && text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-')
    };
    assert!(facts.container.iter().chain(&facts.install_source).all(word), "{facts:?}");
});
