//! What `bridge` and `serve` share: they run until a signal, on an asynchronous runtime, with a log on standard error.

use anyhow::Context as _;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::{exit, output};

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

/// Returns a future that is ready when this process is asked to stop. If it is asked a second time, it ends at once,
/// because a person at a terminal may not want to wait for the requests in progress.
pub(crate) fn stop() -> anyhow::Result<impl Future<Output = ()>> {
    let mut asked = Asked::new()?;
    Ok(async move {
        asked.again().await;
        output::note(
            "stopping when the requests in progress are answered; a second signal stops at once",
        );
        tokio::spawn(async move {
            asked.again().await;
            output::note("stopped at once; the senders of requests in progress got no answer");
            std::process::exit(exit::ERROR.into())
        });
    })
}

/// The signals that ask this process to stop: SIGTERM and SIGINT.
#[cfg(unix)]
struct Asked(tokio::signal::unix::Signal, tokio::signal::unix::Signal);

#[cfg(unix)]
impl Asked {
    fn new() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self(signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
    }

    async fn again(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

/// Ctrl-C.
#[cfg(not(unix))]
struct Asked;

#[cfg(not(unix))]
impl Asked {
    #[expect(clippy::unnecessary_wraps, reason = "the same on every system")]
    fn new() -> anyhow::Result<Self> {
        Ok(Self)
    }

    async fn again(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
