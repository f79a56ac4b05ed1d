//! Says what becomes of a message that waits.

use otel_usage::settings::{Inspection, SpoolFile};
use otel_usage::{Consent, Contract, Usage};

use super::now;
use crate::contract::Installed;
use crate::look::look;

/// The future of a message that waits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    /// Engines that start here send it to this destination.
    Sent(String),
    /// The engine that made it still runs, and sends it or deletes it.
    Owned,
    /// Collection is off or local for its contract.
    Consent(Consent, String),
    /// No engine of these settings has its destination.
    Elsewhere,
    /// Its contract is not known here.
    UnknownContract,
    /// It was made before the last `otel-usage off`.
    BeforeOff,
    /// The file of the last `otel-usage off` cannot be read or names a time in the future.
    OffUnknown,
    /// It would falsify the receiver's statistics.
    Late,
    /// Its file cannot be used.
    Unreadable(&'static str),
}

impl Why {
    /// Returns it in words that end a line.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Sent(to) => format!("the next engine sends it to {to}"),
            Self::Owned => "its engine still runs, and sends it".to_owned(),
            Self::Consent(consent, because) => {
                format!("not sent while collection is {} ({because})", consent.as_str())
            }
            Self::Elsewhere => {
                "not sent: it is for another destination than these settings have".to_owned()
            }
            Self::UnknownContract => {
                "not sent: its contract is not known here (otel-usage contract add FILE)".to_owned()
            }
            Self::BeforeOff => "never sent: it is older than the last off or purge".to_owned(),
            Self::OffUnknown => {
                "not sent: the time of the last off cannot be read or lies in the future; run otel-usage off, then on"
                    .to_owned()
            }
            Self::Late => "never sent: it is too late for it".to_owned(),
            Self::Unreadable(what) => format!("not sent: {what}"),
        }
    }
}

/// Knows what engines would do that are started here.
#[derive(Debug)]
pub(crate) struct Judge {
    inspections: Vec<(Contract, Inspection)>,
    now: i64,
}

impl Judge {
    /// Asks for each contract of `files` what its engine would do here.
    pub(crate) fn of(files: &[SpoolFile]) -> anyhow::Result<Self> {
        let messages = || files.iter().filter_map(|file| file.message.as_ref().ok());
        let known = Installed::read().every_contract().into_iter().map(|known| known.contract);
        let inspections = known
            .filter(|contract| messages().any(|message| message.contract == contract.id))
            .map(|contract| {
                let inspection = look(Usage::builder(&contract))?;
                Ok((contract, inspection))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { inspections, now: now() })
    }

    /// Returns the contracts that wait and are known, with what their engines would do.
    pub(crate) fn inspections(&self) -> impl Iterator<Item = &(Contract, Inspection)> {
        self.inspections.iter()
    }

    /// Returns what becomes of the message in `file`.
    pub(crate) fn why(&self, file: &SpoolFile) -> Why {
        let message = match &file.message {
            Ok(message) => message,
            Err(what) => return Why::Unreadable(what),
        };
        let mut known = self.inspections.iter();
        let known = known.find(|(contract, _)| message.contract == contract.id);
        if file.owner.is_some() {
            return Why::Owned;
        }
        if message.is_late(self.now) {
            return Why::Late;
        }
        let Some((_, inspection)) = known else { return Why::UnknownContract };
        match inspection.is_newer_than_off(message) {
            Some(true) => {}
            Some(false) => return Why::BeforeOff,
            None => return Why::OffUnknown,
        }
        let Some(to) = inspection.destination_of(message) else { return Why::Elsewhere };
        let decision = inspection.decision();
        match decision.consent {
            Consent::Granted => Why::Sent(to),
            consent => Why::Consent(consent, decision.because.clone()),
        }
    }

    /// Returns the age of a message in seconds. A message of the future has none.
    pub(crate) fn age(&self, time: i64) -> i64 {
        self.now.saturating_sub(time).max(0)
    }
}

/// Returns a number of seconds in the largest unit that fits.
pub(super) fn span(seconds: i64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "min")];
    let fitting = units.into_iter().find(|(length, _)| seconds >= *length);
    let (length, unit) = fitting.unwrap_or((1, "s"));
    format!("{} {unit}", seconds.checked_div(length).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_its_largest_unit() {
        for (seconds, shown) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (7199, "1 h"),
            (86_400, "1 d"),
            (600_000, "6 d"),
        ] {
            assert_eq!(span(seconds), shown);
        }
    }
}
