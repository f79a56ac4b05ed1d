//! Exit codes. In: what a command found out. Out: the number a script sees.
//!
//! `docs/cli.md` lists them; they are part of the interface.

use otel_usage::Consent;

/// It worked. `status`: collection is on. `on`, `local`, `off`: the mode is in force.
pub(crate) const SUCCESS: u8 = 0;
/// It did not work; standard error says why, and what to do.
pub(crate) const ERROR: u8 = 1;
/// The command line makes no sense.
pub(crate) const USAGE: u8 = 2;
/// Collection is local: nothing leaves the machine.
pub(crate) const LOCAL: u8 = 3;
/// Collection is off.
pub(crate) const OFF: u8 = 4;

/// `schema diff`: more or other is sent, of the kinds that were sent before.
pub(crate) const MORE: u8 = 5;
/// `schema diff`: a new kind of data is sent.
pub(crate) const NEW_KIND: u8 = 6;

/// The exit code that stands for `consent`.
pub(crate) const fn of(consent: Consent) -> u8 {
    match consent {
        Consent::Granted => SUCCESS,
        Consent::Local => LOCAL,
        Consent::Off => OFF,
    }
}
