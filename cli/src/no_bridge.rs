//! Replaces `otel-usage bridge` in a build without the feature `bridge`, because an unknown subcommand would not
//! say how to get it.

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
        "bridge: this program was built without it: build otel-usage-cli with the feature `bridge`, \
         which is a default feature"
    )
}
