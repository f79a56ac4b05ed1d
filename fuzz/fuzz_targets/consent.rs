//! Resolves decision and settings from any environment variables and mode file. An opt-out by
//! `DO_NOT_TRACK` holds with every mode file and every other variable.

#![no_main]

use std::fs;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use otel_usage::settings::Env;
use otel_usage::settings::VARIABLES;
use otel_usage::{Consent, Contract, Usage};
use tempfile::TempDir;

static HOME: LazyLock<TempDir> = LazyLock::new(|| {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join(".config/otel-usage")).unwrap();
    home
});

fuzz_target!(|input: (u8, Vec<(u8, &str)>, Option<&[u8]>)| {
    let (contract, variables, mode) = input;
    let file = HOME.path().join(".config/otel-usage/mode");
    match mode {
        Some(bytes) => fs::write(&file, bytes).unwrap(),
        None => drop(fs::remove_file(&file)),
    }
    let contracts = Contract::built_in();
    let contract = contracts.get(usize::from(contract) % contracts.len()).unwrap();
    let own = contract.switches.iter().map(|switch| switch.variable.as_ref());
    let names: Vec<&str> = VARIABLES.iter().copied().chain(own).collect();
    let mut given: Vec<(String, String)> = variables
        .into_iter()
        .filter_map(|(name, value)| {
            let name = names.get(usize::from(name) % names.len())?;
            // The places of the files are fixed, so that no other file of this machine is read.
            let fixed =
                ["HOME", "XDG_CONFIG_HOME", "OTEL_USAGE_CONFIG", "OTEL_USAGE_OTLP_CERTIFICATE"]
                    .contains(name);
            (!fixed).then(|| ((*name).to_owned(), value.to_owned()))
        })
        .collect();
    given.push(("HOME".to_owned(), HOME.path().to_str().unwrap().to_owned()));

    let builder = |given: &[(String, String)]| {
        Usage::builder(contract).with_environment(Env::given(given.iter().cloned()))
    };
    let decision = builder(&given).inspect().unwrap().decision().clone();
    assert_eq!(
        decision,
        builder(&given).inspect().unwrap().decision().clone(),
        "a second look finds the same"
    );
    let _ = builder(&given).inspect().unwrap().settings().clone();
    // Variables can only narrow what the mode file allows.
    let alone = builder(&given[given.len() - 1..]).inspect().unwrap().decision().clone();
    assert!(decision.consent >= alone.consent || alone.consent == Consent::Local);
    given.push(("DO_NOT_TRACK".to_owned(), "1".to_owned()));
    assert_eq!(builder(&given).inspect().unwrap().decision().clone().consent, Consent::Off);
});
