//! Why something was not delivered: a closed set of reasons, which are counted and never raised.

use std::fmt;

macro_rules! losses {
    ($($(#[doc = $doc:literal])+ $variant:ident = $word:literal;)*) => {
        /// Why a record, an attribute or a message did not get through.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Loss {
            $($(#[doc = $doc])+ $variant,)*
        }

        impl Loss {
            /// Every reason, in alphabetical order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the name of the attribute by which OTLP carries how often this was the reason so far in the
            /// run. `None` for lacking consent, because an opt-out is not reported.
            #[must_use]
            pub const fn attribute(self) -> Option<&'static str> {
                let name = match self {
                    $(Self::$variant => concat!("otel_usage.dropped.", $word),)*
                };
                if matches!(self, Self::Consent) { None } else { Some(name) }
            }

            /// Returns the reason as one word, for logs and metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }
    };
}

losses! {
    /// The exporter queued the message and never said what became of it.
    Abandoned = "abandoned";
    /// Consent does not cover this exporter: it was withdrawn, or it is local only.
    Consent = "consent";
    /// The retries were used up, or the message grew too old.
    Expired = "expired";
    /// The record names another contract than the one in use.
    ForeignContract = "foreign_contract";
    /// The process was forked; the child does not report.
    Forked = "forked";
    /// The file could not be written.
    Io = "io";
    /// A number is not finite.
    NotFinite = "not_finite";
    /// An exporter panicked.
    Panicked = "panicked";
    /// A detector hangs and was left behind.
    Probe = "probe";
    /// A bounded queue was full.
    QueueFull = "queue_full";
    /// The server refused the message for good.
    Refused = "refused";
    /// A newer message of the same kind replaced it.
    Superseded = "superseded";
    /// The record came after the run had finished.
    TooLate = "too_late";
    /// The list has more entries than are read; the first 64 are sent.
    TooLong = "too_long";
    /// The attribute is not in the contract.
    UndeclaredAttribute = "undeclared_attribute";
    /// The record's kind is not in the contract.
    UnknownRecord = "unknown_record";
    /// The value has another type than the contract says, or is a number beyond 64 bits.
    WrongType = "wrong_type";
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
