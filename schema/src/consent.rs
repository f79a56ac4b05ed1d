//! Consent: how far an operator lets usage data go.

/// The operator's decision on usage data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "three modes, complete by definition")]
pub enum Consent {
    /// Records are made and sent.
    Granted,
    /// Records are made and stay on this machine: file and console, no network, not even loopback.
    Local,
    /// Nothing happens: no thread, no file, no socket, no log line.
    Off,
}

impl Consent {
    /// Returns the word for it: `on`, `local` or `off`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "on",
            Self::Local => "local",
            Self::Off => "off",
        }
    }

    /// Returns whether an exporter may run, which sends over the network or does not.
    #[must_use]
    pub const fn allows(self, is_network: bool) -> bool {
        match self {
            Self::Granted => true,
            Self::Local => !is_network,
            Self::Off => false,
        }
    }
}

/// A consent and the switch that decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers of the bridge make one")]
pub struct Decision {
    /// The consent.
    pub consent: Consent,
    /// The switch, in words an operator can act on: `environment variable DO_NOT_TRACK`.
    pub because: String,
}
