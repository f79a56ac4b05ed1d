//! `otel-usage probe`: shows each fact about a machine, where it was read, and how long that took.
//!
//! The machine is this one or a folder with the files of another one; `--record` writes such a folder.
//! Times include the list of readings, which an engine's probe does not keep.

mod fact;
mod form;
mod record;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use otel_usage::clock::Clock;
use otel_usage::detectors::{FACTS, Fact, Facts, MACHINE_FILE, Machine, Reading, probe};
use otel_usage::settings::Env;

use crate::{exit, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One JSON object, as docs/operator/cli.md describes it
    #[arg(long, conflicts_with = "record")]
    json: bool,
    /// Also show OpenTelemetry's attribute and every source, in lines as long as they get
    #[arg(long, conflicts_with_all = ["json", "record"])]
    wide: bool,
    /// Probe the files in this folder instead of this machine, and its machine.json if it has one
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Write what the probe reads into this new folder, without names and ids
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
}

/// A finished step of the probe.
#[derive(Debug)]
struct Step {
    name: &'static str,
    micros: u64,
    readings: Vec<Reading>,
}

/// The result of a probe.
#[derive(Debug)]
struct Probed {
    facts: Facts,
    steps: Vec<Step>,
    /// For each of [`FACTS`], the step that found it.
    found_by: Vec<Option<usize>>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<u8> {
    let machine = match &args.root {
        Some(folder) => copied(folder)?,
        None => Machine::live(Env::of_machine().pairs()),
    };
    if let Some(folder) = &args.record {
        return record::run(&machine, folder);
    }
    let probed = Probed::of(&machine.traced(), true);
    if args.json {
        output::print(&form::json(&probed, args.root.as_deref())?)?;
    } else {
        output::show(&form::table(&probed, args.wide))?;
    }
    Ok(exit::SUCCESS)
}

/// Returns the machine in a folder; without a description it has only its files.
fn copied(folder: &Path) -> anyhow::Result<Machine> {
    if !folder.is_dir() {
        bail!("{}: no such folder: name one that holds proc, sys, etc", folder.display());
    }
    if !folder.join(MACHINE_FILE).exists() {
        return Ok(Machine::at(folder));
    }
    Machine::recorded(folder).context("the folder cannot be probed: correct or remove that file")
}

impl Probed {
    fn of(machine: &Machine, accelerators_wanted: bool) -> Self {
        let clock = Clock::system();
        let mut steps: Vec<Step> = Vec::new();
        let mut found_by = vec![None; FACTS.len()];
        let mut begun = clock.monotonic();
        let facts = probe(machine, accelerators_wanted, &mut |step| {
            let took = clock.monotonic().saturating_duration_since(begun);
            for (place, fact) in found_by.iter_mut().zip(FACTS) {
                if place.is_none() && fact.value(step.facts).is_some() {
                    *place = Some(steps.len());
                }
            }
            steps.push(Step {
                name: step.name,
                micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                readings: step.readings.to_vec(),
            });
            begun = clock.monotonic();
        });
        Self { facts, steps, found_by }
    }

    /// Returns the step that found a fact, or else the one that looked for it.
    fn step(&self, place: usize, fact: &Fact) -> Option<&Step> {
        match self.found_by.get(place).copied().flatten() {
            Some(step) => self.steps.get(step),
            None => self.steps.iter().find(|step| step.name == fact.reader),
        }
    }
}
