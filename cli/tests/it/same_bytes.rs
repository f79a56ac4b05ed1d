//! Checks that `preview --json` equals the body of the POST of an engine with the same records, clock
//! and instance id.

use otel_usage::clock::Clock;
use otel_usage::schema::{lmcache, vllm};
use otel_usage::settings::Env;
use otel_usage::{Builder, Contract, Flush, Usage, UsageRecord};
use otel_usage_testing::receiver::Receiver;
use otel_usage_testing::{PATIENCE, sample, to_test_runner};

use crate::shell::Shell;

const NANOS: i64 = 1_787_206_513_123_456_789;
const ID: &str = "b1946ac9-2a4e-4d2a-9c55-0d6a2c8e11f0";
const MACHINE: &str = "0b1d7f3e-52a6-4c1b-9f60-3a9be8d0c417";

#[test]
fn preview_equals_the_body_of_the_post() {
    let single =
        |builder: Builder| builder.with_attribute(lmcache::DEPLOYMENT_MODE, "single_process");
    let server = |builder: Builder| builder.with_attribute(lmcache::DEPLOYMENT_MODE, "mp_server");
    same("vllm", &vllm::CURRENT, sample::VLLM_VERSION, |b| b, sample::vllm_report());
    same(
        "vllm-0.4.0",
        &vllm::V0_4_0,
        sample::VLLM_DOCUMENTED_VERSION,
        |b| b,
        sample::vllm_report(),
    );
    same("lmcache", &lmcache::V1, sample::LMCACHE_VERSION, single, sample::lmcache_engine());
    same("lmcache-mp", &lmcache::V1, sample::LMCACHE_VERSION, server, sample::lmcache_mp_server());
}

fn same(
    name: &str,
    contract: &Contract,
    version: &str,
    more: impl FnOnce(Builder) -> Builder,
    record: impl UsageRecord,
) {
    let shell = Shell::new();
    // The id file exists already, because the first record would create it.
    let folder = shell.home().join(".config/lmcache");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("machine_id"), MACHINE).unwrap();
    let ran =
        shell.run(&format!("preview --contract {name} --json --clock {NANOS} --instance-id {ID}"));
    let lines: Vec<&str> = ran.out.lines().collect();

    let server = Receiver::start();
    let environment = Env::given([
        ("HOME", shell.home().to_str().unwrap()),
        ("OTEL_USAGE_MODE", "on"),
        ("OTEL_USAGE_EXPORTERS", "server"),
        (contract.server_variable.as_deref().unwrap(), &server.url()),
    ]);
    let builder = Usage::builder(contract)
        .with_sample_data()
        .with_environment(environment)
        .with_version(version)
        .with_clock(Clock::fixed(NANOS))
        .on_notice(to_test_runner)
        .with_instance_id(ID);
    let usage = more(builder).try_init().unwrap();
    usage.record(record);
    assert_eq!(usage.flush(PATIENCE), Flush::Settled);
    let bodies: Vec<String> = server.requests.try_iter().map(|post| post.text()).collect();
    assert_eq!(bodies.len(), lines.len());
    for (body, line) in bodies.iter().zip(lines) {
        // The duration of the run does not come from the fixed clock.
        let fixed = |text: &str| text.split("\"duration\": ").next().unwrap().to_owned();
        assert_eq!(fixed(body), fixed(line), "{name}");
    }
}
