//! Checks that an opt-out is silent: each row of the consent table, with each spelling and engine, is one run
//! of `optout`.
//!
//! A row is an environment, a home directory, and the engines that it concerns. A run that is off must end
//! well under a filter that kills it for any socket, thread, process or changed file, and must leave its
//! home as it was. A run that is not off must die under the same filter, because otherwise the filter would
//! prove nothing.
//!
//! The environment is set for the child process only, and starts empty.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_methods, reason = "a test that runs a program")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test; helpers are not marked as such"
)]

mod support;

use support::Expect::{Killed, Local, Silent, Warned};
use support::rows::Engines::{Every, Vllm};
use support::rows::{
    CI, ENGINE_SAYS_OFF, FOR_EVERY_ENGINE, FOR_ONE_ENGINE, LOCAL, LOCKED, MARKERS, MODE_FILES,
    NOT_OFF, OFF_BESIDE_ON, Row, UNREADABLE, WORDS_THAT_ARE_NO_MODE, env, row,
};
use support::{check, check_locked, check_with};

#[test]
fn a_word_that_is_no_mode_is_off_with_a_warning() {
    check(WORDS_THAT_ARE_NO_MODE, Warned, Killed);
}

#[test]
fn a_variable_for_every_engine_silences_each_of_them() {
    check(FOR_EVERY_ENGINE, Silent, Killed);
}

#[test]
fn a_variable_of_one_engine_silences_that_engine_and_no_other() {
    check(FOR_ONE_ENGINE, Silent, Killed);
}

#[test]
fn a_marker_file_silences_the_engines_that_look_for_it() {
    check(MARKERS, Silent, Killed);
}

#[test]
fn a_mode_file_that_is_off_or_damaged_silences_every_engine() {
    check(MODE_FILES, Silent, Killed);
}

#[test]
fn an_unreadable_consent_folder_counts_as_off() {
    check(UNREADABLE, Silent, Killed);
    check_locked(LOCKED, Silent, Killed);
}

#[test]
fn no_setting_overrules_an_off() {
    check(OFF_BESIDE_ON, Silent, Killed);
}

#[test]
fn no_operator_setting_overrules_the_engines_off() {
    check(ENGINE_SAYS_OFF, Silent, Killed);
}

#[test]
fn without_an_opt_out_the_filter_kills_every_engine() {
    check(NOT_OFF, Killed, Silent);
}

#[test]
fn each_rule_of_the_filter_kills_alone() {
    const ON: &[Row] = &[row(Every, "", &[env("OTEL_USAGE_MODE", b"on")])];
    for part in ["--files-only", "--network-only", "--processes-only"] {
        check_with(part, ON, Killed, Silent);
    }
}

#[test]
fn local_writes_its_file_and_touches_no_network() {
    check_with("--network-only", LOCAL, Local, Killed);
}

#[test]
fn ci_means_local_unless_the_operator_says_on() {
    check_with("--network-only", CI, Local, Killed);
    const SOURCE: &[Row] =
        &[row(Vllm, "CI", &[env("CI", b"true"), env("VLLM_USAGE_SOURCE", b"ci-test")])];
    check_with("--network-only", SOURCE, Killed, Local);
}

// A test must not put a file into /etc, so this one has its own /etc in a mount namespace.
#[test]
fn the_marker_of_the_whole_machine_silences_every_engine() {
    support::check_system_marker();
}
