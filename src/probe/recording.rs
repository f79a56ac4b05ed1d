//! A machine comes in, the folder that plays it goes out as a value: files, and the text of
//! [`MACHINE_FILE`](super::MACHINE_FILE).
//!
//! It holds the files that a probe of this very machine reads, reduced in `neutral`. Nothing
//! is written here.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::files::FILE_BYTES;
use super::recorded::{FORMAT, keys};
use super::trace::{Answer, Asked, Source};
use super::{ENVIRONMENT, Machine, cpuid, neutral, os, probe, source};

/// A machine as files, fit to be given away: no ids, no user's names, no folders.
///
/// Probing [`Machine::recorded`] from it finds the facts of the machine it was made of, but
/// for accelerators and what only the sysinfo crate knows.
#[derive(Debug, Clone)]
pub struct Recording {
    files: BTreeMap<String, RecordedFile>,
    description: String,
}

/// A file of a [`Recording`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedFile {
    /// What stands in it.
    pub text: String,
    /// Whether it may be run.
    pub program: bool,
}

impl Recording {
    /// Probes the machine and takes down what that looks at. No driver is asked.
    pub fn of(machine: &Machine) -> Self {
        let mut sources: Vec<Source> = Vec::new();
        let _ = probe(&machine.clone().traced(), false, &mut |step| {
            sources.extend_from_slice(step.sources);
        });
        let mut files = BTreeMap::new();
        let mut add = |path: &str, text: String, program: bool| {
            files.insert(path.to_owned(), RecordedFile { text, program });
        };
        for source in sources.iter().filter(|source| source.answer == Answer::Found) {
            let path = source.name.as_str();
            match source.asked {
                Asked::File => {
                    let text = machine.text(path, FILE_BYTES);
                    if let Some(text) = text.and_then(|text| neutral::text(path, &text)) {
                        add(&neutral::path(path), text, false);
                    }
                }
                Asked::Marker => add(path, String::new(), false),
                _ => {}
            }
        }
        if os::has_program_file(machine) {
            add(&format!("{}/file", neutral::BIN), String::new(), true);
        }
        if source::by_pip(machine) {
            let entry = format!("{}/lib/python3/site-packages/lmcache-0.dist-info", neutral::VENV);
            add(&entry, String::new(), false);
        }
        if source::by_conda(machine) {
            let entry = format!("{}/conda-meta/lmcache-0.json", neutral::CONDA);
            add(&entry, String::new(), false);
        }
        Self { files, description: description(machine) }
    }

    /// The files by their absolute path on the machine, in order.
    pub fn files(&self) -> impl Iterator<Item = (&str, &RecordedFile)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// The text of [`MACHINE_FILE`](super::MACHINE_FILE).
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }
}

/// The parts of a machine that are not files.
fn description(machine: &Machine) -> String {
    let object = |pairs: &[(&str, &str)]| -> Value {
        pairs.iter().map(|&(key, value)| (key.to_owned(), Value::from(value))).collect()
    };
    let mut all = Map::new();
    all.insert(keys::FORMAT.to_owned(), FORMAT.into());
    if let Some(name) = machine.system_name() {
        let parts = [
            (keys::SYSNAME, name.sysname.as_str()),
            (keys::RELEASE, &name.release),
            (keys::MACHINE, &name.machine),
        ];
        all.insert(keys::UNAME.to_owned(), object(&parts));
    }
    if let Some((name, version)) = machine.libc() {
        let parts = [(keys::NAME, name), (keys::VERSION, version)];
        all.insert(keys::LIBC.to_owned(), object(&parts));
    }
    let leaves: Map<String, Value> = cpuid::LEAVES
        .iter()
        .filter_map(|&leaf| {
            let [eax, mut ebx, ecx, edx] = machine.cpuid(leaf)?;
            if leaf == cpuid::SIGNATURE {
                // Here stands which CPU answered; nobody reads it, and it changes each time.
                ebx = 0;
            }
            let registers = format!("{eax:08x} {ebx:08x} {ecx:08x} {edx:08x}");
            Some((format!("{leaf:08x}"), registers.into()))
        })
        .collect();
    if !leaves.is_empty() {
        all.insert(keys::CPUID.to_owned(), leaves.into());
    }
    let environment: Map<String, Value> = ENVIRONMENT
        .iter()
        .filter_map(|&name| {
            let value = machine.variable(name)?;
            Some((name.to_owned(), neutral::variable(name, value).into()))
        })
        .collect();
    all.insert(keys::ENVIRONMENT.to_owned(), environment.into());
    // The alternate form of a JSON value is an indented text.
    format!("{:#}\n", Value::from(all))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tree;
    use super::super::{Facts, MACHINE_FILE, Machine, probe};
    use super::Recording;

    /// A recording as a folder.
    fn written(recording: &Recording) -> Tree {
        let tree = Tree::new().file(&format!("/{MACHINE_FILE}"), recording.description());
        recording.files().fold(tree, |tree, (path, file)| match file.program {
            true => tree.program(path),
            false => tree.file(path, &file.text),
        })
    }

    fn facts(machine: &Machine) -> Facts {
        probe(machine, false, &mut |_| ())
    }

    #[cfg(unix)]
    #[test]
    fn a_recording_has_the_facts_of_its_machine_and_no_names() {
        let id = "0a1b2c3d4e5f".repeat(5);
        let group = format!("/docker/{id}");
        let tree = Tree::new()
            .file("/proc/cpuinfo", "processor\t: 0\nmodel name\t: A\nSerial\t: 0815\n\n")
            .file("/proc/meminfo", "MemTotal: 1024 kB\n")
            .file("/sys/class/dmi/id/chassis_asset_tag", "INV-alice\n")
            .file("/sys/class/dmi/id/sys_vendor", "Google\n")
            .file("/proc/1/cgroup", &format!("4:memory:{group}\n"))
            .file("/proc/self/cgroup", &format!("4:memory:{group}\n"))
            .file(&format!("/sys/fs/cgroup/memory{group}/memory.limit_in_bytes"), "4096\n")
            .file("/home/alice/venv/lib/python3.12/site-packages/lmcache-1.dist-info/METADATA", "")
            .program("/home/alice/bin/file");
        let machine = tree
            .machine_with(&[("PATH", "/home/alice/bin"), ("VIRTUAL_ENV", "/home/alice/venv")])
            .with_uname("Linux", "6.8.0", "x86_64")
            .with_libc("glibc", "2.35")
            .with_cpuid([(0, [1, 2, 3, 4]), (1, [0x0083_0f10, 0, 0, 0])]);
        let recording = Recording::of(&machine);
        let copy = written(&recording);
        let read = Machine::recorded(copy.machine().root()).unwrap();
        assert_eq!(facts(&read), facts(&machine));
        assert_eq!(facts(&read).memory_limit_bytes, Some(4096));
        let everything = format!("{recording:?}");
        for name in ["alice", "0815", &id] {
            assert!(!everything.contains(name), "{everything}");
        }
        // Recorded again, it is the same.
        let again = Recording::of(&read);
        assert_eq!(again.files, recording.files);
        assert_eq!(again.description(), recording.description());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_can_be_recorded() {
        let environment = [("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())];
        let live = Machine::live(environment);
        let copy = written(&Recording::of(&live));
        let read = Machine::recorded(copy.machine().root()).unwrap();
        assert_eq!(facts(&read), facts(&live));
    }
}
