//! Exit codes. They are part of the interface, and `docs/operator/cli.md` lists them.

use otel_usage::Consent;

/// Success. For `status`: collection is on. For `on`, `local`, `off`: the mode is in force.
pub(crate) const SUCCESS: u8 = 0;
/// Failure. Standard error names the reason and the remedy.
pub(crate) const ERROR: u8 = 1;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 2;
/// Collection is local: nothing leaves the machine.
pub(crate) const LOCAL: u8 = 3;
/// Collection is off.
pub(crate) const OFF: u8 = 4;

/// `schema diff`: more or other data is sent, but no new class of data.
pub(crate) const MORE: u8 = 5;
/// `schema diff`: a new class of data is sent.
pub(crate) const NEW_CLASS: u8 = 6;

/// `receipts`: the mode is written, but another setting overrules it.
pub(crate) const OVERRULED: u8 = 7;
/// `spool flush`: messages are left. `status --check`: something would go wrong.
pub(crate) const ATTENTION: u8 = 7;

/// `serve`: the disk may have lost what it was told to keep, so a new start does not help by itself.
#[cfg(feature = "serve")]
pub(crate) const DISK: u8 = 8;

/// Returns the exit code for `consent`.
pub(crate) const fn of(consent: Consent) -> u8 {
    match consent {
        Consent::Granted => SUCCESS,
        Consent::Local => LOCAL,
        Consent::Off => OFF,
    }
}
