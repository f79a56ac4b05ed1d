//! What `bridge` and `serve` share: they run until a signal, on an asynchronous runtime, with a log on standard error.

use anyhow::Context as _;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts the log.
pub(crate) fn log() {
    // A sender could fill the log with what the libraries below tell of its connections.
    let own = Targets::new().with_target("otel_usage", tracing::Level::INFO);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never)
        .with_target(false);
    tracing_subscriber::registry().with(lines.with_filter(own)).init();
}

/// Starts the threads.
pub(crate) fn runtime(name: &str) -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name(name)
        .build()
        .context("threads cannot be started: raise the limit on processes")?;
    let entered = runtime.enter();
    large_files_are_errors()?;
    drop(entered);
    Ok(runtime)
}

/// Makes a write beyond the limit on the size of files fail. Without this the system ends the process, and a
/// server that is told to wait with its data could not go on once the limit is raised.
#[cfg(unix)]
fn large_files_are_errors() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    // A signal that has a handler ends no process, and the handler stays when this receiver goes.
    let limit = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    drop(signal(limit).context("signals cannot be handled")?);
    Ok(())
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the same on every system")]
fn large_files_are_errors() -> anyhow::Result<()> {
    Ok(())
}

/// Returns a future that is ready when this process receives SIGTERM or SIGINT.
#[cfg(unix)]
pub(crate) fn stop() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
pub(crate) fn stop() -> anyhow::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
