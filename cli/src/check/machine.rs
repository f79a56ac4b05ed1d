//! The machine: its clock, the container, and the limits of processes.

use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use otel_usage::settings::SpoolFolder;

use super::Finding;
use super::files::{AHEAD, Places, nearest};
use crate::spool::now;

/// A time before which no version of this program was built: the first of November 2026. Unit: seconds since the
/// Unix epoch.
const BUILT: i64 = 1_793_491_200;

/// A time that no version of this program is expected to see: 50 years later.
const EXPECTED: i64 = 3_371_328_000;

/// Fewest files that a process may have open. An engine needs far more than the few that we open.
const OPEN_FILES: u64 = 64;

/// Smallest limit of a file's length: the local file is renamed beyond 10 MB.
const FILE_LENGTH: u64 = 10_000_000;

pub(super) fn check(places: &[Places]) -> Vec<Finding> {
    let Some(first) = places.first() else { return Vec::new() };
    let mut findings = vec![clock(now(), newest(first))];
    findings.extend(limits());
    findings.extend(first.spool.as_deref().and_then(container));
    findings
}

/// Compares the clock with what is certain: the age of this program, and that of the newest file.
fn clock(now: i64, newest: Option<(i64, String)>) -> Finding {
    let hint = "set the clock, by NTP for example: messages carry its time, and their age decides whether they are sent";
    if now < BUILT {
        return Finding::problem("clock", "it shows a time before this program was made", hint);
    }
    if now > EXPECTED {
        return Finding::problem("clock", "it is decades ahead", hint);
    }
    match newest {
        Some((time, name)) if time.saturating_sub(now) > AHEAD => {
            let behind = time.saturating_sub(now);
            Finding::problem("clock", format!("it is {behind} s behind {name}"), hint)
        }
        _ => Finding::fine("clock", "it is not behind any file of ours"),
    }
}

/// Returns the newest time of our files, in seconds since the Unix epoch, and the file.
fn newest(places: &Places) -> Option<(i64, String)> {
    let program = std::env::current_exe().ok();
    let messages = places.spool.as_deref().map(|folder| {
        let files = SpoolFolder::new(folder).list().unwrap_or_default();
        files.into_iter().map(|file| folder.join(file.name)).collect::<Vec<_>>()
    });
    let paths = places.cutoff.iter().cloned().chain(program).chain(messages.into_iter().flatten());
    let dated = paths.filter_map(|path| {
        let changed = fs::metadata(&path).ok()?.modified().ok()?;
        let seconds = changed.duration_since(UNIX_EPOCH).ok()?.as_secs();
        Some((i64::try_from(seconds).ok()?, path.display().to_string()))
    });
    dated.max()
}

#[cfg(unix)]
fn limits() -> Vec<Finding> {
    use rustix::process::{Resource, getrlimit};
    let mut findings = Vec::new();
    let below =
        |limit: Resource, least: u64| getrlimit(limit).current.filter(|current| *current < least);
    if let Some(files) = below(Resource::Nofile, OPEN_FILES) {
        findings.push(Finding::problem(
            "limits",
            format!("a process may open {files} files only"),
            "ulimit -n 1024, or LimitNOFILE of the service",
        ));
    }
    if let Some(bytes) = below(Resource::Fsize, FILE_LENGTH) {
        findings.push(Finding::problem(
            "limits",
            format!("a file may have {bytes} bytes only"),
            "ulimit -f unlimited, or LimitFSIZE of the service",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::fine(
            "limits",
            "open files and the length of files are not limited too much",
        ));
    }
    findings
}

#[cfg(not(unix))]
fn limits() -> Vec<Finding> {
    Vec::new()
}

/// Finds a place of messages that goes with the container.
#[cfg(target_os = "linux")]
fn container(spool: &Path) -> Option<Finding> {
    layer(spool, rustix::fs::statfs(nearest(spool)).ok()?.f_type as u64)
}

/// Finds a place on the file system of this number that goes with the container.
#[cfg(target_os = "linux")]
fn layer(spool: &Path, kind: u64) -> Option<Finding> {
    const OVERLAY: u64 = 0x794C_7630;
    if kind != OVERLAY {
        return None;
    }
    let what = format!(
        "{} is in the writable layer of a container, so that messages that wait are lost with it",
        spool.display()
    );
    let hint = "mount a volume, and name it in OTEL_USAGE_SPOOL_DIR";
    Some(Finding::note("container", what, hint))
}

#[cfg(not(target_os = "linux"))]
fn container(_: &Path) -> Option<Finding> {
    None
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_writable_layer_of_a_container_is_a_note() {
        let found = |kind| layer(Path::new("/a"), kind).map(|finding| finding.level);
        assert_eq!((found(0x794C_7630), found(0xEF53)), (Some(Level::Note), None));
    }

    #[test]
    fn a_clock_before_the_build_behind_a_file_or_decades_ahead_is_a_problem() {
        let level = |now, newest: Option<i64>| {
            clock(now, newest.map(|time| (time, "file".to_owned()))).level
        };
        let now = BUILT + 1_000_000;
        for (now, newest, expected) in [
            (now, None, Level::Fine),
            (now, Some(now), Level::Fine),
            (now, Some(now + AHEAD), Level::Fine),
            (now, Some(now + AHEAD + 1), Level::Problem),
            (BUILT - 1, None, Level::Problem),
            (0, None, Level::Problem),
            (EXPECTED + 1, None, Level::Problem),
        ] {
            assert_eq!(level(now, newest), expected, "{now} {newest:?}");
        }
    }
}
