//! An engine in the home of a shell, and the messages that wait there.

use std::path::PathBuf;

use otel_usage::clock::Clock;
use otel_usage::schema::vllm;
use otel_usage::settings::Env;
use otel_usage::{Contract, Flush, Usage};
use otel_usage_testing::receiver::{Answer, Receiver};
use otel_usage_testing::{PATIENCE, sample, settled, to_test_runner};

use crate::shell::Shell;

/// Starts an engine that sends to the server at `url`.
pub(crate) fn engine(shell: &Shell, url: &str) -> Usage {
    engine_of(&vllm::CURRENT, Clock::system(), shell, url)
}

fn engine_of(contract: &Contract, clock: Clock, shell: &Shell, url: &str) -> Usage {
    let home = shell.home().display().to_string();
    let environment = Env::given([
        ("HOME", home.as_str()),
        ("OTEL_USAGE_EXPORTERS", "server"),
        ("VLLM_USAGE_STATS_SERVER", url),
    ]);
    let builder = Usage::builder(contract).with_sample_data().with_clock(clock);
    builder.with_environment(environment).on_notice(to_test_runner).try_init().unwrap()
}

/// Starts an engine that sends compressed OTLP to the receiver at `url`.
pub(crate) fn otlp_engine(shell: &Shell, url: &str) -> Usage {
    let home = shell.home().display().to_string();
    let environment = Env::given([
        ("HOME", home.as_str()),
        ("OTEL_USAGE_EXPORTERS", "otlp"),
        ("OTEL_USAGE_OTLP_ENDPOINT", url),
        ("OTEL_USAGE_OTLP_COMPRESSION", "gzip"),
    ]);
    let builder = Usage::builder(&vllm::CURRENT).with_sample_data();
    builder.with_environment(environment).on_notice(to_test_runner).try_init().unwrap()
}

/// The answer to an engine of a server that is away. The engine tries again after the test.
const AWAY: Answer = Answer::Status(503, "Retry-After: 3600\r\n");

/// Starts a server that is away until a test lets it come back.
pub(crate) fn away_at_first() -> Receiver {
    Receiver::away(Answer::Status(503, ""))
}

/// Starts a server that an engine tries once, and others reach.
pub(crate) fn away_for_an_engine() -> Receiver {
    Receiver::scripted(vec![AWAY], Answer::Status(200, ""))
}

/// Starts an engine, of which one message is left on disk. Returns it with the body of the message.
pub(crate) fn leave_one(shell: &Shell, server: &Receiver) -> (Usage, Vec<u8>) {
    let usage = engine(shell, &server.url());
    let body = leave(&usage, server);
    (usage, body)
}

fn leave(usage: &Usage, server: &Receiver) -> Vec<u8> {
    usage.record(sample::vllm_report());
    let body = server.next().body;
    assert_eq!(usage.flush(PATIENCE), Flush::Durable);
    let _ = server.requests.try_iter().count();
    body
}

/// A message of an engine that ended, whose server is away once more.
pub(crate) struct Left {
    pub(crate) shell: Shell,
    pub(crate) server: Receiver,
    pub(crate) body: Vec<u8>,
    /// It would delete the message if it ended now, because consent was withdrawn.
    _usage: Usage,
}

/// Leaves a message in a shell that has the server of the engine.
///
/// The engine runs on in this process, so its file is put under the name of another owner.
pub(crate) fn left_by_one_that_ended() -> Left {
    left_of(&vllm::CURRENT, Clock::system())
}

/// As [`left_by_one_that_ended`], with the contract and the clock of the engine.
pub(crate) fn left_of(contract: &Contract, clock: Clock) -> Left {
    let server = Receiver::scripted(vec![AWAY, AWAY], Answer::Status(200, ""));
    let shell = Shell::new().with("VLLM_USAGE_STATS_SERVER", &server.url());
    let usage = engine_of(contract, clock, &shell, &server.url());
    let body = leave(&usage, &server);
    let [file] = messages(&shell).try_into().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    usage.withdraw();
    settled(&usage);
    let name = file.file_name().unwrap().to_str().unwrap();
    let (owner, rest) = name.split_once('.').unwrap();
    let ended = format!("{}{}.{rest}", &owner[..34], "0".repeat(32));
    std::fs::write(folder(&shell).join(ended), bytes).unwrap();
    Left { shell, server, body, _usage: usage }
}

pub(crate) fn folder(shell: &Shell) -> PathBuf {
    shell.home().join(".local/state/otel-usage")
}

/// Returns the files of the messages that wait.
pub(crate) fn messages(shell: &Shell) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder(shell)).into_iter().flatten();
    let mut files: Vec<PathBuf> = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end != "lock" && end != "jsonl"))
        .collect();
    files.sort();
    files
}
