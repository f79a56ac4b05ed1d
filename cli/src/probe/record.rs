//! `otel-usage probe --record DIR`: writes a folder with the files of a machine.
//!
//! The folder is probed at once, and each fact that differs is named.

use std::fmt::Write as _;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail};
use otel_usage::detectors::{FACTS, MACHINE_FILE, Machine, Recording, probe};

use crate::{exit, output};

pub(super) fn run(machine: &Machine, folder: &Path) -> anyhow::Result<u8> {
    let shown = folder.display();
    fs::create_dir_all(folder)
        .and_then(|()| fs::read_dir(folder))
        .with_context(|| format!("{shown} cannot be made: name a folder that can be written"))
        .and_then(|mut entries| match entries.next() {
            None => Ok(()),
            Some(_) => bail!("{shown} is not empty: name a new folder"),
        })?;
    let recording = Recording::of(machine);
    write(&recording, folder).with_context(|| format!("{shown} cannot be written: make room"))?;

    let mut text = format!("wrote to {shown}, for you to read before you give it away:\n");
    // Writing to a `String` cannot fail.
    let _ = writeln!(text, "  {MACHINE_FILE}");
    for (path, _) in recording.files() {
        let _ = writeln!(text, "  {}", path.trim_start_matches('/'));
    }
    for difference in differences(machine, &Machine::recorded(folder)?) {
        output::note(&difference);
    }
    output::print(&text)?;
    Ok(exit::SUCCESS)
}

fn write(recording: &Recording, folder: &Path) -> std::io::Result<()> {
    fs::write(folder.join(MACHINE_FILE), recording.description())?;
    for (path, file) in recording.files() {
        // Whatever a path says, it stays below the folder.
        let inside: PathBuf = Path::new(path)
            .components()
            .filter(|component| matches!(component, Component::Normal(_)))
            .collect();
        let place = folder.join(inside);
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&place, &file.text)?;
        #[cfg(unix)]
        if file.program {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&place, fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

/// Returns a note for each fact that differs in the recording; accelerators have no files.
fn differences(machine: &Machine, copy: &Machine) -> Vec<String> {
    let [ours, copied] = [machine, copy].map(|machine| probe(machine, false, &mut |_| ()));
    FACTS
        .iter()
        .filter(|fact| fact.value(&ours) != fact.value(&copied))
        .map(|fact| format!("the recording does not have the same {}", fact.label))
        .collect()
}
