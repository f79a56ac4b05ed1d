//! The journal of what was sent: which identities it names, and how they leave it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use otel_usage::export::Delivery;
use otel_usage::receipts::{self, Receipt};
use serde_json::Value;

use super::identities::Identities;

#[derive(Debug, Default)]
pub(super) struct Journal {
    path: PathBuf,
    /// The attempts that are meant.
    meant: Vec<Receipt>,
}

impl Journal {
    /// Reads what the journal at `path` says of these contracts, or of all.
    pub(super) fn read(path: Option<&Path>, only: Option<&[String]>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let found = receipts::read(path).with_context(|| {
            format!("{} cannot be read: correct its permissions, or remove it", path.display())
        })?;
        let mut meant = found.unwrap_or_default().receipts;
        meant.retain(|one| only.is_none_or(|ids| ids.contains(&one.delivery.contract)));
        Ok(Self { path: path.to_owned(), meant })
    }

    pub(super) fn count(&self) -> usize {
        self.meant.len()
    }

    /// Returns the files that are there.
    pub(super) fn files(&self) -> impl Iterator<Item = PathBuf> {
        receipts::files(&self.path).into_iter().filter(|path| fs::symlink_metadata(path).is_ok())
    }

    /// Adds the identities of what was sent. Without bodies, that of the record is all there is.
    pub(super) fn show(&self, identities: &mut Identities) {
        for Receipt { delivery, body, .. } in &self.meant {
            let Delivery { contract, destination, identity, .. } = delivery;
            let place = format!("{contract}, sent to {destination}");
            match body.as_deref().map(serde_json::from_str::<Value>) {
                Some(Ok(body)) => identities.add_body(&body, &place),
                _ => identities.add("trace id", identity.clone(), &place),
            }
        }
    }

    /// Takes the attempts of these contracts out of the files.
    pub(super) fn remove(&self, ids: &[String]) -> anyhow::Result<()> {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        receipts::forget(&self.path, &ids)
            .with_context(|| format!("{} cannot be written: make it writable", self.path.display()))
    }
}
