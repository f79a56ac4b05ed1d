//! Why something was not delivered: a closed set of reasons, counted and never raised.

use std::fmt;

/// Why a record, an attribute or a message did not get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Loss {
    /// Consent does not cover this sink: it was withdrawn, or is local only.
    Consent,
    /// The retries were used up, or the message grew too old.
    Expired,
    /// The record names another contract than the one in use.
    ForeignContract,
    /// The process was forked; the child does not report.
    Forked,
    /// The file could not be written.
    Io,
    /// A number is not finite.
    NotFinite,
    /// A sink panicked.
    Panicked,
    /// A probe or a name look-up hangs and was left behind.
    Probe,
    /// A bounded queue was full.
    QueueFull,
    /// The server refused the message for good.
    Refused,
    /// The record came after the run had finished.
    TooLate,
    /// The attribute is not in the contract.
    UndeclaredAttribute,
    /// The record's kind is not in the contract.
    UnknownRecord,
    /// The value has another type than the contract says.
    WrongType,
}

impl Loss {
    /// Every reason, in alphabetical order.
    pub(crate) const ALL: [Self; 14] = [
        Self::Consent,
        Self::Expired,
        Self::ForeignContract,
        Self::Forked,
        Self::Io,
        Self::NotFinite,
        Self::Panicked,
        Self::Probe,
        Self::QueueFull,
        Self::Refused,
        Self::TooLate,
        Self::UndeclaredAttribute,
        Self::UnknownRecord,
        Self::WrongType,
    ];

    /// The reason as one word, for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consent => "consent",
            Self::Expired => "expired",
            Self::ForeignContract => "foreign_contract",
            Self::Forked => "forked",
            Self::Io => "io",
            Self::NotFinite => "not_finite",
            Self::Panicked => "panicked",
            Self::Probe => "probe",
            Self::QueueFull => "queue_full",
            Self::Refused => "refused",
            Self::TooLate => "too_late",
            Self::UndeclaredAttribute => "undeclared_attribute",
            Self::UnknownRecord => "unknown_record",
            Self::WrongType => "wrong_type",
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
