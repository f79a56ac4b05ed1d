//! Replaces `otel-usage serve` in a build without the feature `serve`, because an unknown subcommand would not say how
//! to get it.

use std::ffi::OsString;

use anyhow::bail;

#[derive(Debug, clap::Args)]
// Accepts every argument, so that the missing feature is the only error.
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    _ignored: Vec<OsString>,
}

pub(crate) fn run(_: &Args) -> anyhow::Result<u8> {
    bail!(
        "serve: this program was built without it: build otel-usage-cli with the feature `serve`, \
         which is a default feature"
    )
}
