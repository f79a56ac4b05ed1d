//! A machine as a folder, for the fuzz targets, and checks that hold for the facts of any machine.

use std::fs;
use std::path::PathBuf;

use otel_usage::detectors::{Facts, Machine, probe};
use tempfile::TempDir;

/// A folder whose files are written again and again.
pub struct Tree {
    folder: TempDir,
    files: Vec<PathBuf>,
}

impl Tree {
    /// Creates the folder. `files` are absolute paths on the machine.
    pub fn new(files: &[&str]) -> Self {
        // In memory if possible, because a run writes some hundred thousand files.
        let memory = ["/dev/shm"].into_iter().find(|path| fs::metadata(path).is_ok());
        let folder = memory.map_or_else(tempfile::tempdir, tempfile::tempdir_in).unwrap();
        let place = |path: &&str| folder.path().join(path.trim_start_matches('/'));
        let files: Vec<PathBuf> = files.iter().map(place).collect();
        for file in &files {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
        }
        Self { folder, files }
    }

    /// Returns the machine with these contents, one for each file; `None` removes the file.
    pub fn machine<'a>(&self, contents: impl IntoIterator<Item = Option<&'a [u8]>>) -> Machine {
        for (file, bytes) in self.files.iter().zip(contents) {
            match bytes {
                Some(bytes) => fs::write(file, bytes).unwrap(),
                None => drop(fs::remove_file(file)),
            }
        }
        Machine::at(self.folder.path())
    }
}

/// Reads the facts, and checks what holds for every machine.
pub fn look(machine: &Machine) -> Facts {
    let mut known = Facts::default();
    let facts = probe(machine, true, &mut |step| known.learn(step.facts));
    assert_eq!(facts, known, "progress ends with the result, and no fact changes");
    assert_eq!(probe(machine, true, &mut |_| ()), facts, "a second look finds the same");
    let counts = [facts.cpu_count, facts.cpu_physical_count];
    let bytes = [facts.memory_bytes, facts.memory_limit_bytes];
    assert!(counts.into_iter().chain(bytes).flatten().all(|number| number > 0), "{facts:?}");
    let numbers = [&facts.cpu_family, &facts.cpu_model, &facts.cpu_stepping];
    for number in numbers.into_iter().flatten() {
        assert!(number.parse::<u32>().is_ok(), "{number:?}");
    }
    facts
}
