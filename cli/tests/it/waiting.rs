//! An engine in the home of a shell, and the messages that wait there.

use std::path::PathBuf;

use otel_usage::schema::vllm;
use otel_usage::settings::Env;
use otel_usage::{Flush, Usage};
use otel_usage_testing::receiver::{Answer, Receiver};
use otel_usage_testing::{PATIENCE, sample, to_test_runner};

use crate::shell::Shell;

/// Starts an engine that sends to the server at `url`.
pub(crate) fn engine(shell: &Shell, url: &str) -> Usage {
    let home = shell.home().display().to_string();
    let environment = Env::given([
        ("HOME", home.as_str()),
        ("OTEL_USAGE_EXPORTERS", "server"),
        ("VLLM_USAGE_STATS_SERVER", url),
    ]);
    let builder = Usage::builder(&vllm::CURRENT).with_sample_data();
    builder.with_environment(environment).on_notice(to_test_runner).try_init().unwrap()
}

/// Starts a server that is away for the attempts of [`leave_one`].
pub(crate) fn away_at_first() -> Receiver {
    Receiver::scripted(vec![Answer::Status(503, ""); 2], Answer::Status(200, ""))
}

/// Starts an engine, of which one message is left on disk. Returns it with the body of the message.
pub(crate) fn leave_one(shell: &Shell, server: &Receiver) -> (Usage, Vec<u8>) {
    let usage = engine(shell, &server.url());
    usage.record(sample::vllm_report());
    let body = server.next().body;
    assert_eq!(usage.flush(PATIENCE), Flush::Durable);
    let _ = server.requests.try_iter().count();
    (usage, body)
}

pub(crate) fn folder(shell: &Shell) -> PathBuf {
    shell.home().join(".local/state/otel-usage")
}

/// Returns the files of the messages that wait.
pub(crate) fn messages(shell: &Shell) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder(shell)).into_iter().flatten();
    let mut files: Vec<PathBuf> = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end != "lock"))
        .collect();
    files.sort();
    files
}
