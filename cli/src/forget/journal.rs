//! The journal of what was sent: which identities it names, and how they leave it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use otel_usage::export::ExporterName;
use otel_usage::receipts::{self, Receipt};
use otel_usage::schema::resource::INSTANCE_ID;
use serde_json::Value;

use super::identities::{Identities, Place};

#[derive(Debug)]
pub(super) struct Journal {
    /// `None` if no home directory is known.
    path: Option<PathBuf>,
    /// The attempts that are meant.
    meant: Vec<Receipt>,
}

impl Journal {
    /// Returns the journal at `path`, whose lines are not read.
    pub(super) fn unread(path: Option<&Path>) -> Self {
        Self { path: path.map(Path::to_owned), meant: Vec::new() }
    }

    /// Reads what the journal says of these contracts, or of all.
    pub(super) fn read(&mut self, only: Option<&[String]>) -> anyhow::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let found = receipts::read(path).with_context(|| {
            format!("{} cannot be read: correct its permissions, or remove it", path.display())
        })?;
        self.meant = found.unwrap_or_default().receipts;
        self.meant.retain(|one| only.is_none_or(|ids| ids.contains(&one.delivery.contract)));
        Ok(())
    }

    pub(super) fn count(&self) -> usize {
        self.meant.len()
    }

    /// Returns the files that are there.
    pub(super) fn files(&self) -> impl Iterator<Item = PathBuf> {
        let files = self.path.iter().flat_map(|path| receipts::files(path));
        files.filter(|path| fs::symlink_metadata(path).is_ok())
    }

    /// Adds the identities of what was sent, by which the receiver knows it.
    pub(super) fn show(&self, identities: &mut Identities) {
        for Receipt { delivery, body, .. } in &self.meant {
            let (contract, to) = (delivery.contract.clone(), delivery.destination.clone());
            // An answer, be it a refusal, shows that the message arrived.
            let place = match delivery.status {
                Some(_) => Place::Sent(contract, to),
                None => Place::PerhapsSent(contract, to),
            };
            let otlp = delivery.exporter == ExporterName::Otlp.as_str();
            if let Some(id) = &delivery.instance_id {
                let key = match otlp {
                    true => INSTANCE_ID.to_owned(),
                    false => identities.instance(&delivery.contract),
                };
                identities.add(&key, id.clone(), &place);
            }
            if otlp {
                identities.add("trace id (OTLP only)", delivery.identity.clone(), &place);
            }
            if let Some(Ok(body)) = body.as_deref().map(serde_json::from_str::<Value>) {
                identities.add_body(&body, &place);
            }
        }
    }

    /// Takes the attempts of these contracts out of the files.
    pub(super) fn remove(&self, ids: &[String]) -> anyhow::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        receipts::forget(path, &ids)
            .with_context(|| format!("{} cannot be written: make it writable", path.display()))
    }
}
