//! `otel-usage spool flush`: sends the messages that wait on disk now.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use otel_usage::Consent;
use otel_usage::clock::Clock;

use super::why::{Judge, Why};
use super::{folder, here, ids, list, many, memory_only};
use crate::contract::Chosen;
use crate::output::{BAD, GOOD, styled};
use crate::{exit, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// Seconds after which what was not sent stays
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3600))]
    timeout: u32,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let inspection = here()?;
    let Some(folder) = folder(&inspection) else {
        output::show(&format!("{}: nothing to send\n", memory_only(&inspection)))?;
        return Ok(exit::SUCCESS);
    };
    let contracts = ids(&args.chosen)?;
    let files = list(&folder, contracts.as_deref())?;
    let judge = Judge::of(&files)?;
    let decisions = judge.inspections().map(|(_, inspection)| inspection.decision());
    // Without a contract that is known here, nothing is sent either way.
    let decision = decisions.min_by_key(|decision| decision.consent);
    let decision = decision.unwrap_or_else(|| inspection.decision());
    if decision.consent != Consent::Granted {
        let mut text = format!(
            "nothing is sent, because collection is {}: {}\n",
            styled(BAD, decision.consent.as_str()),
            decision.because
        );
        text += &left(&folder, contracts.as_deref())?.0;
        output::show(&text)?;
        return Ok(exit::of(decision.consent));
    }
    let clock = Clock::system();
    let end = clock.monotonic().checked_add(Duration::from_secs(args.timeout.into()));
    let mut text = String::new();
    for (contract, inspection) in judge.inspections() {
        let within = end.map(|end| end.saturating_duration_since(clock.monotonic()));
        let done = inspection.deliver(within.unwrap_or_default());
        for warning in &done.warnings {
            output::warning(warning);
        }
        for account in done.exporters.iter().filter(|account| account.accepted > 0) {
            let lost =
                account.dropped.iter().map(|(loss, count)| format!(", {count} {}", loss.as_str()));
            // Writing to a `String` cannot fail.
            let _ = writeln!(
                text,
                "{} {}: {} {}{}",
                contract.id,
                account.name,
                account.delivered,
                styled(GOOD, "delivered"),
                lost.collect::<String>(),
            );
        }
    }
    let (words, open) = left(&folder, contracts.as_deref())?;
    text += &words;
    output::show(&text)?;
    Ok(if open { exit::ATTENTION } else { exit::SUCCESS })
}

/// Returns what is left and why, and whether these settings would send any of it.
fn left(folder: &Path, contracts: Option<&[String]>) -> anyhow::Result<(String, bool)> {
    let files = list(folder, contracts)?;
    if files.is_empty() {
        return Ok((format!("nothing is left in {}\n", folder.display()), false));
    }
    let judge = Judge::of(&files)?;
    let mut reasons: BTreeMap<Why, usize> = BTreeMap::new();
    for file in &files {
        let count = reasons.entry(judge.why(file)).or_default();
        *count = count.saturating_add(1);
    }
    let open = reasons.keys().any(|why| matches!(why, Why::Sent(_)));
    let mut text = format!("left in {}: {}\n", folder.display(), many(files.len(), "message"));
    for (why, count) in reasons {
        let words = match &why {
            Why::Sent(to) => format!("{to} did not take it, or the time was over"),
            why => why.words(),
        };
        let _ = writeln!(text, "  {count}: {words}");
    }
    Ok((text, open))
}
