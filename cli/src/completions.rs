//! `otel-usage completions`: prints the completion script of a shell.

use clap_complete::Shell;

use crate::{exit, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell for which to print it
    shell: Shell,
}

pub(crate) fn run(args: &Args, command: &mut clap::Command) -> anyhow::Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "otel-usage", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(exit::SUCCESS)
}
