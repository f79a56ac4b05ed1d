//! `otel-usage man`: writes the manual pages, for packages.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::{exit, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write a page for each subcommand into this folder
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(crate) fn run(args: &Args, command: clap::Command) -> anyhow::Result<u8> {
    let shown = args.out.display();
    std::fs::create_dir_all(&args.out)
        .and_then(|()| clap_mangen::generate_to(command, &args.out))
        .with_context(|| format!("{shown} cannot be written: name a folder that can be written"))?;
    output::print(&format!("wrote the manual pages to {shown}\n"))?;
    Ok(exit::SUCCESS)
}
