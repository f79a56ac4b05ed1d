//! `otel-usage receipts`: says whether engines record what they send, in a file of this user.

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use otel_usage::Usage;
use otel_usage::schema::vllm;
use otel_usage::settings::{ReceiptsMode, ReceiptsSettings};

use crate::fails::no_journal;
use crate::look::look;
use crate::output::{CAUTION, GOOD, styled};
use crate::{exit, files, mode, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Parts of each attempt to send a message that are recorded
    mode: Mode,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    /// Time, contract, message, destination, outcome, identity and size
    On,
    /// The message itself too
    Bodies,
    /// Nothing. The journal that is there stays
    Off,
}

impl Mode {
    const fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Bodies => "bodies",
            Self::Off => "off",
        }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<u8> {
    let word = args.mode.as_str();
    let path = mode::place(settings()?.mode_file.as_deref())?;
    files::replace(&path, &format!("{word}\n")).with_context(|| {
        format!(
            "{} cannot be written: make it writable, or set OTEL_USAGE_RECEIPTS={word}",
            path.display()
        )
    })?;
    let ReceiptsSettings { mode, because, journal, .. } = settings()?;
    let in_force = mode.as_str() == word;
    let why = journal.as_deref().filter(|_| mode != ReceiptsMode::Off).and_then(no_journal);
    let journal = journal.map(|path| path.display().to_string()).unwrap_or_default();
    let state = match (in_force, args.mode) {
        (false, _) => {
            let stays = styled(CAUTION, format!("stays {}", mode.as_str()));
            format!("the journal {journal} {stays}, because of: {because}")
        }
        (true, Mode::Off) => {
            format!("what is sent is not recorded; {journal} stays if it is there")
        }
        (true, _) if why.is_some() => {
            format!("what is sent {}", styled(CAUTION, "may not be recorded"))
        }
        (true, _) => {
            format!("what is sent is recorded in: {journal} ({})", styled(GOOD, mode.as_str()))
        }
    };
    output::show(&format!(
        "wrote `{word}` to {}\n{state}\nNew engines use this. Running engines go on as they began.\n",
        path.display(),
    ))?;
    if let Some(why) = why {
        bail!(
            "the journal {journal} cannot be kept: {why}; make room for the file there, or end the journal with \
             `otel-usage receipts off`"
        );
    }
    Ok(if in_force { exit::SUCCESS } else { exit::OVERRULED })
}

fn settings() -> anyhow::Result<ReceiptsSettings> {
    Ok(look(Usage::builder(&vllm::CURRENT))?.settings().receipts.clone())
}
