//! The signals of OpenTelemetry that the bridge takes, and the name that each has in places.

/// A signal of OpenTelemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Traces,
    Logs,
}

impl Signal {
    /// Returns the name of the number of refused records in OTLP's answer.
    pub(crate) const fn rejected(self) -> &'static str {
        match self {
            Self::Traces => "rejectedSpans",
            Self::Logs => "rejectedLogRecords",
        }
    }

    /// Returns the name in metrics.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
        }
    }

    /// Takes the fields of this signal from a table with both.
    pub(crate) fn of<T: ?Sized>(self, tables: [&'static T; 2]) -> &'static T {
        let [traces, logs] = tables;
        match self {
            Self::Traces => traces,
            Self::Logs => logs,
        }
    }
}
