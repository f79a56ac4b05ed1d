//! Records a machine as files that can be given away, and reads such a folder as a machine.
//!
//! A recording holds the files that the readers read on this machine, redacted by `redact`, and the
//! text of [`MACHINE_FILE`]. The caller writes the folder.

mod description;
mod redact;

use std::collections::BTreeMap;

pub use description::MACHINE_FILE;

use super::files::FILE_BYTES;
use super::trace::{Answer, Asked, Reading};
use super::{Machine, probe};

/// A machine as files without ids, user names and folders of its own.
///
/// [`Machine::recorded`] finds the same facts in it, except accelerators and those that only the
/// sysinfo crate finds.
#[derive(Debug, Clone)]
pub struct Recording {
    files: BTreeMap<String, RecordedFile>,
    description: String,
}

/// A file of a [`Recording`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedFile {
    /// Contents of the file.
    pub text: String,
    /// Whether the file is executable.
    pub program: bool,
}

impl Recording {
    /// Records the files of a machine that have facts. No driver is asked.
    pub fn of(machine: &Machine) -> Self {
        let mut readings: Vec<Reading> = Vec::new();
        let facts = probe(&machine.clone().traced(), false, &mut |step| {
            readings.extend_from_slice(step.readings);
        });
        let mut files = BTreeMap::new();
        let mut add = |path: String, text: String, program: bool| {
            files.insert(path, RecordedFile { text, program });
        };
        for Reading { asked, name, .. } in readings.iter().filter(|one| one.answer == Answer::Found)
        {
            match asked {
                Asked::File => {
                    let text = machine.text(name, FILE_BYTES);
                    if let Some(text) = text.and_then(|text| redact::text(name, &text)) {
                        add(redact::path(name), text, false);
                    }
                }
                Asked::Marker => add(name.clone(), String::new(), false),
                Asked::Program => add(format!("{}/{name}", redact::BIN), String::new(), true),
                _ => {}
            }
        }
        let package = match facts.install_source {
            Some("PIP") => {
                Some(format!("{}/lib/python3/site-packages/lmcache-0.dist-info", redact::VENV))
            }
            Some("CONDA") => Some(format!("{}/conda-meta/lmcache-0.json", redact::CONDA)),
            _ => None,
        };
        if let Some(path) = package {
            add(path, String::new(), false);
        }
        Self { files, description: description::describe(machine) }
    }

    /// Returns the files by their absolute path on the machine, in order.
    pub fn files(&self) -> impl Iterator<Item = (&str, &RecordedFile)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// Returns the text of [`MACHINE_FILE`].
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tree;
    use super::super::{Facts, Machine, probe};
    use super::{MACHINE_FILE, Recording};

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
        let read = Machine::recorded(copy.machine().root().unwrap()).unwrap();
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
        let read = Machine::recorded(copy.machine().root().unwrap()).unwrap();
        assert_eq!(facts(&read), facts(&live));
    }
}
