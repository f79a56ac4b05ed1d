//! Finds what would fail although the library has no mistake to tell: a local file or a journal that this user cannot
//! write, and a misspelt variable, which no engine ever looks at.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use otel_usage::receipts;
use otel_usage::settings::{ReceiptsMode, ReceiptsSettings, VARIABLES};

use crate::words::did_you_mean;

/// Returns the journal of what is sent, if it is on.
pub(crate) fn recorded(settings: &ReceiptsSettings) -> Option<&Path> {
    settings.journal.as_deref().filter(|_| settings.mode != ReceiptsMode::Off)
}

/// Returns the reason for which the journal of what is sent cannot be kept at `path`. It touches nothing.
pub(crate) fn no_journal(path: &Path) -> Option<String> {
    why_unwritable(path).or_else(|| {
        let kind = receipts::network_file_system(path)?;
        let why = "where the lines of several processes may mix";
        Some(format!("it is on a network file system ({kind}), {why}"))
    })
}

/// Returns a warning if the local file `path` cannot be appended to or made. It touches nothing.
pub(crate) fn unwritable(path: &Path) -> Option<String> {
    let why = why_unwritable(path)?;
    Some(format!(
        "the local file {} cannot be written: {why}; make it writable, choose another with OTEL_USAGE_FILE, or \
         leave `file` out of OTEL_USAGE_EXPORTERS",
        path.display()
    ))
}

/// Returns the reason for which a file cannot be appended to or made.
fn why_unwritable(path: &Path) -> Option<String> {
    Some(match fs::metadata(path) {
        Ok(there) if !there.is_file() => "it is not a regular file".to_owned(),
        Ok(_) => may_write(path).err()?.to_string(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let above = path.ancestors().skip(1).find(|folder| folder.exists())?;
            match fs::metadata(above) {
                Ok(there) if !there.is_dir() => format!("{} is not a folder", above.display()),
                _ => {
                    let error = may_write(above).err()?;
                    format!("{}: {error}", above.display())
                }
            }
        }
        Err(error) => error.to_string(),
    })
}

#[cfg(unix)]
pub(crate) fn may_write(path: &Path) -> io::Result<()> {
    use rustix::fs::Access;
    Ok(rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK)?)
}

#[cfg(not(unix))]
pub(crate) fn may_write(path: &Path) -> io::Result<()> {
    match fs::metadata(path)?.permissions().readonly() {
        true => Err(ErrorKind::PermissionDenied.into()),
        false => Ok(()),
    }
}

/// Returns a warning for each variable that begins like ours and that nothing reads.
pub(crate) fn misspelt_variables() -> Vec<String> {
    let ours = VARIABLES.iter().copied().filter(|name| name.starts_with("OTEL_USAGE_"));
    let ours: Vec<&str> = ours.collect();
    let all = std::env::vars_os();
    let mut unknown: Vec<String> = all
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with("OTEL_USAGE_") && !ours.contains(&name.as_str()))
        .collect();
    unknown.sort();
    unknown
        .iter()
        .map(|name| {
            let guess = did_you_mean(name, ours.iter().copied());
            format!("{name} is no variable that anything reads{guess}; correct it, or unset it")
        })
        .collect()
}
