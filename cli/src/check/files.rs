//! The files and folders: switches, the time of the last off, and the place of messages that wait.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use otel_usage::Consent;
use otel_usage::settings::Inspection;

use super::Finding;
use crate::fails::{may_write, no_journal, recorded};
use crate::spool::now;

/// The places of one engine.
#[derive(Debug, Clone)]
pub(super) struct Places {
    mode: Option<PathBuf>,
    pub(super) cutoff: Option<PathBuf>,
    pub(super) spool: Option<PathBuf>,
    /// The reason for which an engine does not use that folder.
    memory_only: Option<String>,
    /// The journal of what is sent, if it is on.
    journal: Option<PathBuf>,
    /// Whether messages may leave the machine.
    sends: bool,
}

impl Places {
    pub(super) fn of(inspection: &Inspection) -> Self {
        let settings = inspection.settings();
        let consent = inspection.decision().consent;
        Self {
            mode: inspection.mode_file().map(Path::to_owned),
            cutoff: inspection.cutoff_file().map(Path::to_owned),
            spool: settings.spool.clone(),
            memory_only: settings.memory_only.clone(),
            journal: recorded(&settings.receipts).map(Path::to_owned),
            sends: settings.exporters.iter().any(|one| one.is_network())
                && consent == Consent::Granted,
        }
    }
}

/// Free bytes below which a disk counts as full: all messages that may wait, and the file system's own needs.
const FREE_BYTES: u64 = 16 * 1024 * 1024;

/// Free files below which a disk counts as full: those that may wait.
const FREE_FILES: u64 = 256;

/// Seconds by which a time may lie in the future. Clocks of a network file system differ a little.
pub(super) const AHEAD: i64 = 300;

/// `last_off` is what was read of the time of the last off.
pub(super) fn check(places: &[Places], last_off: io::Result<Option<i64>>) -> Vec<Finding> {
    // All contracts share these.
    let Some(first) = places.first() else { return Vec::new() };
    let mut findings = Vec::new();
    match &first.mode {
        None => findings.push(Finding::problem(
            "switches",
            "no home directory is known, so that no switch can be found there",
            "set HOME or XDG_CONFIG_HOME, for the engines too",
        )),
        Some(mode) => findings.push(switches(mode)),
    }
    findings.extend(first.cutoff.as_deref().and_then(|path| cutoff(path, last_off)));
    if places.iter().any(|one| one.sends) {
        match &first.spool {
            None => findings.push(Finding::note(
                "spool",
                "messages that cannot be delivered wait in memory only, and are lost with the process",
                "name a folder in OTEL_USAGE_SPOOL_DIR, as an absolute path",
            )),
            Some(path) => {
                let memory_only = places.iter().find_map(|one| one.memory_only.as_deref());
                findings.extend(spool(path, memory_only));
            }
        }
        findings.extend(first.journal.as_deref().map(journal));
    }
    findings
}

/// Checks whether others can change the switches.
fn switches(mode: &Path) -> Finding {
    let folder = mode.parent().unwrap_or_else(|| Path::new("/"));
    for path in [mode, folder] {
        if let Some(others) = changeable_by_others(path) {
            return Finding::problem(
                "switches",
                format!("{} can be changed by {others}", path.display()),
                format!("chmod go-w {}", path.display()),
            );
        }
    }
    let there = nearest(folder);
    match may_write(&there) {
        Ok(()) => Finding::fine("switches", folder.display().to_string()),
        Err(error) => Finding::note(
            "switches",
            format!("{}: {error}, so that `otel-usage off` fails", there.display()),
            "make it writable, or switch off by DO_NOT_TRACK=1",
        ),
    }
}

/// Checks the time of the last off.
fn cutoff(path: &Path, last_off: io::Result<Option<i64>>) -> Option<Finding> {
    let what = match last_off {
        Ok(Some(time)) if time.saturating_sub(now()) > AHEAD => {
            "it names a time in the future".to_owned()
        }
        Ok(_) => return None,
        Err(error) if error.kind() == ErrorKind::InvalidData => "it holds no time".to_owned(),
        Err(error) => error.to_string(),
    };
    Some(Finding::problem(
        "last off",
        format!("{}: {what}, so that nothing is sent that waits on disk", path.display()),
        "run `otel-usage off`, then `otel-usage on` if you want that",
    ))
}

/// Checks the place of messages that wait. `memory_only` is the reason for which an engine does not use it.
fn spool(path: &Path, memory_only: Option<&str>) -> Vec<Finding> {
    let refused = memory_only.map(|why| {
        let choose = "choose another folder with OTEL_USAGE_SPOOL_DIR";
        let (why, hint) = why.split_once("; ").unwrap_or((why, choose));
        Finding::problem("spool", format!("{why}; messages wait in memory only"), hint)
    });
    let mut findings: Vec<Finding> = refused.into_iter().collect();
    findings.extend(room(path, &nearest(path)));
    if findings.is_empty() {
        findings.push(Finding::fine("spool", path.display().to_string()));
    }
    findings
}

/// Checks the journal of what is sent.
fn journal(path: &Path) -> Finding {
    match no_journal(path) {
        None => Finding::fine("journal", path.display().to_string()),
        Some(why) => Finding::problem(
            "journal",
            format!("{}: {why}; what is sent may not be recorded", path.display()),
            "make room for the file there, or end the journal with OTEL_USAGE_RECEIPTS=off",
        ),
    }
}

#[cfg(unix)]
fn changeable_by_others(path: &Path) -> Option<&'static str> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = fs::metadata(path).ok()?;
    let owner = metadata.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Some("the other user to whom it belongs");
    }
    match metadata.mode() & 0o022 {
        0 => None,
        mode if mode & 0o002 != 0 => Some("every user"),
        _ => Some("its group"),
    }
}

#[cfg(not(unix))]
fn changeable_by_others(_: &Path) -> Option<&'static str> {
    None
}

/// Checks the room on the file system of `there`, where `path` is or would be.
#[cfg(unix)]
fn room(path: &Path, there: &Path) -> Option<Finding> {
    let shown = path.display();
    let room = rustix::fs::statvfs(there).ok()?;
    let bytes = room.f_bavail.saturating_mul(room.f_frsize);
    // Some file systems count no files.
    let files = (room.f_files > 0).then_some(room.f_favail);
    let what = too_little(bytes, files)?;
    let hint = "free some space, or choose another folder with OTEL_USAGE_SPOOL_DIR";
    Some(Finding::problem("disk", format!("{shown}: {what}"), hint))
}

/// Says what is too little: free bytes, or free files if they are counted.
#[cfg(unix)]
fn too_little(bytes: u64, files: Option<u64>) -> Option<String> {
    if let Some(files) = files.filter(|files| *files < FREE_FILES) {
        return Some(format!("the file system has room for {files} files only"));
    }
    (bytes < FREE_BYTES).then(|| format!("the disk has {} kB left", bytes / 1000))
}

#[cfg(not(unix))]
fn room(_: &Path, _: &Path) -> Option<Finding> {
    None
}

/// Returns the path, or the nearest folder above it that is there.
pub(super) fn nearest(path: &Path) -> PathBuf {
    let there = path.ancestors().find(|path| fs::symlink_metadata(path).is_ok());
    there.unwrap_or_else(|| Path::new("/")).to_owned()
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_full_disk_is_a_problem() {
        assert_eq!(too_little(FREE_BYTES, None), None);
        assert_eq!(too_little(FREE_BYTES, Some(FREE_FILES)), None);
        assert_eq!(too_little(FREE_BYTES - 1, None).unwrap(), "the disk has 16777 kB left");
        let few = too_little(u64::MAX, Some(FREE_FILES - 1)).unwrap();
        assert_eq!(few, "the file system has room for 255 files only");
    }

    #[test]
    fn what_an_engine_says_of_its_folder_and_a_home_that_is_not_known_are_problems() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("spool");
        let problems = |found: &[Finding]| {
            let bad = found.iter().filter(|one| one.level == Level::Problem);
            bad.map(|one| one.what.clone()).collect::<Vec<_>>()
        };
        let network = problems(&spool(&path, Some("it is on a network file system (NFS)")));
        assert!(network[0].contains("(NFS); messages wait in memory only"), "{network:?}");
        assert_eq!(problems(&spool(&path, None)), Vec::<String>::new());
        let places = Places {
            mode: None,
            cutoff: None,
            spool: None,
            memory_only: None,
            journal: None,
            sends: false,
        };
        let homeless = problems(&check(&[places], Ok(None)));
        assert!(homeless[0].starts_with("no home directory is known"), "{homeless:?}");
    }
}
