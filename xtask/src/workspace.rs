//! Reads packages, features and folders of this workspace from `cargo metadata`, so that no task repeats them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::tools;

#[derive(Deserialize)]
pub(crate) struct Workspace {
    packages: Vec<Package>,
    pub(crate) target_directory: PathBuf,
}

#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) rust_version: Option<String>,
    /// An empty list stands for `publish = false`.
    publish: Option<Vec<String>>,
    features: BTreeMap<String, Vec<String>>,
    pub(crate) description: Option<String>,
    pub(crate) license: Option<String>,
    pub(crate) readme: Option<PathBuf>,
    pub(crate) repository: Option<String>,
    pub(crate) keywords: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) metadata: Option<serde_json::Value>,
}

impl Workspace {
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let output = tools::cargo(root)
            .args(["metadata", "--format-version", "1", "--no-deps", "--locked"])
            .output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cargo metadata: {errors}");
        serde_json::from_slice(&output.stdout).context("cargo metadata has another format")
    }

    /// Returns the packages that an engine may depend on. The others have `publish = false`.
    pub(crate) fn published(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.publish != Some(Vec::new()))
    }

    pub(crate) fn package(&self, name: &str) -> anyhow::Result<&Package> {
        let mut packages = self.packages.iter();
        packages.find(|package| package.name == name).with_context(|| format!("no package {name}"))
    }
}

impl Package {
    /// Returns the names of all features except `default`.
    pub(crate) fn features(&self) -> impl Iterator<Item = &str> {
        self.features.keys().map(String::as_str).filter(|name| *name != "default")
    }
}
