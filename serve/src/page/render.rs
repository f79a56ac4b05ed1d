//! Writes the pages as files that a browser opens from any folder and any static host.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::address::{Site, To, filters};
use super::pages::{Content, Pages};
use crate::store;

/// Writes the published pages into `folder`, which is made if it is missing. Returns the number of files.
///
/// Files of another time with other names stay: a host may serve them on.
///
/// # Errors
///
/// If the data file cannot be read, or a file cannot be written.
pub fn render(data: &Path, folder: &Path, now: i64) -> anyhow::Result<usize> {
    // The file is opened before a page is written, because a wrong file must not leave some pages in the folder.
    drop(store::open_to_read(data)?);
    let pages = Pages::new(Site::Files, data, false);
    let mut files = 0_usize;
    let mut write = |to: &To<'_>, content: Option<Content>| -> anyhow::Result<()> {
        let Some(content) = content else { return Ok(()) };
        let path = folder.join(Site::Files.path(to));
        let inside = path.parent().unwrap_or(folder);
        // A host serves the old file until the new one is whole.
        let new = inside.join(".new");
        fs::create_dir_all(inside)
            .and_then(|()| fs::write(&new, &content.text))
            .and_then(|()| fs::rename(&new, &path))
            .with_context(|| format!("cannot write {}", path.display()))?;
        files = files.saturating_add(1);
        Ok(())
    };
    for to in [To::Style, To::Method, To::Dictionary, To::Quality, To::Data, To::Checksums] {
        write(&to, pages.to(&to, now)?)?;
    }
    for day in pages.days()? {
        let to = To::Day(day);
        write(&to, pages.to(&to, now)?)?;
    }
    for filter in filters() {
        let report = pages.report(&filter, now)?;
        let page = To::Report(&filter);
        write(&page, pages.of(&report, &filter, &page)?)?;
        for figure in &report.figures {
            for form in ["csv", "json"] {
                let numbers = To::Numbers(figure.id, &filter, form);
                write(&numbers, pages.of(&report, &filter, &numbers)?)?;
            }
        }
    }
    Ok(files)
}
