//! `cargo xtask demo serve`: the usage server's page with a made-up month. `serve/demo/` plays it, as a release build,
//! because it stores a million messages.

use crate::tools;

pub(crate) fn serve() -> anyhow::Result<()> {
    let root = tools::root()?;
    let mut demo = tools::cargo(root);
    demo.args(["run", "--release", "--package", "otel-usage-serve-demo", "--locked"]);
    tools::run(&mut demo, "the demo ended with an error: see above")
}
