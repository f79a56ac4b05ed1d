//! The options `--contract` and `--contract-file`, which mean the same for every subcommand.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, ValueEnum as _};
use otel_usage::Contract;

use super::known::{self, Installed};
use super::name::Name;
use super::subject::Subject;
use crate::output;
use crate::words::did_you_mean;

#[derive(Debug, clap::Args)]
pub(crate) struct Chosen {
    /// Contract to show: an engine (vllm), an id (vllm/current), or a part. May be given several times
    #[arg(long = "contract", value_name = "NAME", value_parser = Named)]
    named: Vec<Subject>,
    /// Contract of an engine of your own, as `Contract::to_json` writes it. May be given several times
    #[arg(long = "contract-file", value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Chosen {
    /// Returns what the options name; nothing if they are not given.
    pub(crate) fn named(&self) -> anyhow::Result<Vec<Subject>> {
        let mut subjects: Vec<Subject> = Vec::new();
        let mut given = self.named.clone();
        for path in &self.files {
            given.push(Subject::of_file(known::from_file(path)?));
        }
        for subject in given {
            if !subjects.iter().any(|other| other.is_same(&subject)) {
                subjects.push(subject);
            }
        }
        Ok(subjects)
    }

    /// Returns what the options name, else every engine that is known on this machine.
    pub(crate) fn subjects(&self) -> anyhow::Result<Vec<Subject>> {
        let named = self.named()?;
        Ok(if named.is_empty() { every_engine() } else { named })
    }
}

/// Returns every engine that is known on this machine, and warns of each contract file that does not count.
pub(crate) fn every_engine() -> Vec<Subject> {
    let installed = Installed::read();
    for mistake in &installed.mistakes {
        output::warning(mistake);
    }
    installed.every_engine().into_iter().map(Subject::of_known).collect()
}

/// Returns the contracts of the subjects, each once.
pub(crate) fn whole(subjects: &[Subject]) -> Vec<Contract> {
    let mut contracts: Vec<Contract> = Vec::new();
    for subject in subjects {
        if !contracts.contains(subject.contract()) {
            contracts.push(subject.contract().clone());
        }
    }
    contracts
}

/// Returns the contract of this name, or in this file.
pub(crate) fn given(word: &str) -> anyhow::Result<Contract> {
    let path = Path::new(word);
    match named(word) {
        Ok(subject) => Ok(subject.contract().clone()),
        Err(_) if path.exists() => known::from_file(path),
        Err(what) => bail!("{word} cannot be read: no such file; and {what}"),
    }
}

/// Finds the contract that a word names: an id, a name of a built-in contract or part, or an engine.
///
/// # Errors
///
/// The text names the mistake in the word, and the remedy.
fn named(word: &str) -> Result<Subject, String> {
    let installed = Installed::read();
    if let Ok(name) = Name::from_str(word, false) {
        let replaced = installed.with_id(&name.contract().id).filter(|_| name.is_whole());
        return Ok(replaced
            .map_or_else(|| Subject::built_in(name), |known| Subject::of_known(known.clone())));
    }
    match installed.named(word)? {
        Some(known) => Ok(Subject::of_known(known.clone())),
        None => Err(unknown(word, &installed)),
    }
}

fn unknown(word: &str, installed: &Installed) -> String {
    let built_in = Name::value_variants().iter().filter_map(clap::ValueEnum::to_possible_value);
    let mut names: Vec<String> = built_in
        .flat_map(|value| value.get_name_and_aliases().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    for known in &installed.contracts {
        names.extend([known.contract.id.to_string(), known.contract.system.to_string()]);
    }
    let hint = did_you_mean(word, names.iter().map(String::as_str));
    let shown: String = word.chars().take(60).filter(|c| !c.is_control()).collect();
    format!(
        "no contract `{shown}` is known here{hint}; `otel-usage contract ls` lists the names, and \
         `otel-usage contract add FILE` adds that of another engine"
    )
}

/// Parses the value of `--contract`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named;

impl TypedValueParser for Named {
    type Value = Subject;

    fn parse_ref(
        &self,
        _: &clap::Command,
        _: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Subject, clap::Error> {
        named(&value.to_string_lossy())
            .map_err(|what| clap::Error::raw(ErrorKind::InvalidValue, format!("{what}\n")))
    }

    /// Lists the built-in names for the help and for completions. Others are accepted too.
    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let values = Name::value_variants().iter().filter_map(clap::ValueEnum::to_possible_value);
        Some(Box::new(values))
    }
}
