"""The report at the start, by our own sender and by the caller's."""

import sys
import threading
from types import SimpleNamespace

import pytest

from otel_usage.lmcache import (
    InitializeMPUsageContext,
    InitializeUsageContext,
    MPUsageContext,
    UsageContext,
    UsageMessageSender,
    collect_env_message,
    get_usage_identity,
)


def kinds(sent):
    return [payload["message_type"] for _, payload in sent]


def test_a_callers_sender_gets_each_message_on_the_calling_thread(monkeypatch, sender, config, metadata):
    monkeypatch.setenv("LMCACHE_USAGE_TRACK_URL", "http://stats.test/v1")
    UsageContext(config, metadata, sender=sender).report_once()
    assert kinds(sender.sent) == ["EnvMessage", "EngineMessage", "MetadataMessage"]
    assert set(sender.threads) == {threading.current_thread()}
    who = get_usage_identity()
    for url, payload in sender.sent:
        assert url == "http://stats.test/v1/context"
        assert list(payload)[:5] == ["message_type", "schema_version", "session_id", "machine_id", "deployment_mode"]
        assert payload["schema_version"] == 1
        assert payload["session_id"] == who.session_id
        assert payload["machine_id"] == who.machine_id
        assert payload["deployment_mode"] == "single_process"
    environment, _, run = (payload for _, payload in sender.sent)
    assert isinstance(environment["architecture"], tuple)
    assert environment["num_cpu"] > 0
    assert len(run["start_time"]) == len("2026-08-20 08:15:13")
    assert run["duration"] >= 0


def test_a_servers_report(sender, mp_config, storage):
    MPUsageContext(mp_config, storage(), sender=sender).report_once()
    assert kinds(sender.sent) == ["EnvMessage", "MPServerMessage"]
    assert {payload["deployment_mode"] for _, payload in sender.sent} == {"mp_server"}
    assert {url for url, _ in sender.sent} == {"http://127.0.0.1:1/context"}


def test_the_engines_start_does_not_wait_for_a_callers_sender(config, metadata, patience):
    free, sent = threading.Event(), threading.Semaphore(0)

    class Slow(UsageMessageSender):
        def send(self, url, payload):
            if free.wait(patience):
                sent.release()

    assert InitializeUsageContext(config, metadata, sender=Slow()) is not None
    names = [thread.name for thread in threading.enumerate()]
    assert "lmcache-usage-report" in names
    free.set()
    for _ in range(3):
        assert sent.acquire(timeout=patience)


def test_our_own_sender_starts_no_thread_of_python(server, config, metadata, monkeypatch):
    started = []
    start = threading.Thread.start
    # The server has threads of its own.
    monkeypatch.setattr(threading.Thread, "start", lambda thread: (started.append(thread.name), start(thread)))
    assert InitializeUsageContext(config, metadata) is not None
    server.wait_for(3)
    assert "lmcache-usage-report" not in started


def test_an_engine_reports_to_a_server(server, config, metadata):
    assert InitializeUsageContext(config, metadata) is not None
    posts = server.wait_for(3)
    assert {path for path, _ in posts} == {"/context"}
    assert [body["message_type"] for _, body in posts] == ["EnvMessage", "EngineMessage", "MetadataMessage"]
    who = get_usage_identity()
    for _, body in posts:
        assert (body["session_id"], body["machine_id"]) == (who.session_id, who.machine_id)
        assert body["deployment_mode"] == "single_process"
    engine = posts[1][1]
    assert engine["kv_shape"] == [32, 2, 256, 8, 128]
    assert engine["kv_dtype"] == "torch.bfloat16"
    assert engine["remote_url"] == "redis://"


def test_both_senders_give_the_same_messages(server, sender, config, metadata):
    UsageContext(config, metadata).report_once()
    UsageContext(config, metadata, sender=sender).report_once()
    posts = [body for _, body in server.wait_for(3)]
    given = [payload for _, payload in sender.sent]
    for post, payload in zip(posts, given):
        assert list(post) == list(payload)
        for key in post.keys() - {"start_time", "duration"}:
            value = payload[key]
            assert post[key] == (list(value) if isinstance(value, tuple) else value), key


def test_a_second_engine_reports_all_of_it_again(server, config, metadata):
    InitializeUsageContext(config, metadata)
    metadata.worker_id = 2
    InitializeUsageContext(config, metadata)
    posts = [body for _, body in server.wait_for(6)]
    assert [body["message_type"] for body in posts] == 2 * ["EnvMessage", "EngineMessage", "MetadataMessage"]
    assert [body["worker_id"] for body in posts if "worker_id" in body] == [1, 2]


def test_a_server_reports_to_a_server(server, mp_config, storage):
    assert InitializeMPUsageContext(mp_config, storage()) is not None
    posts = server.wait_for(2)
    assert [body["message_type"] for _, body in posts] == ["EnvMessage", "MPServerMessage"]
    assert {body["deployment_mode"] for _, body in posts} == {"mp_server"}
    assert posts[1][1]["lmcache_version"] == "0.5.6"
    assert len({body["session_id"] for _, body in posts}) == 1


def test_a_subclass_that_calls_its_base_reaches_the_server(server, config, metadata):
    class Counting(UsageMessageSender):
        count = 0

        def send(self, url, payload):
            self.count += 1
            super().send(url, payload)

    counting = Counting()
    UsageContext(config, metadata, sender=counting).report_once()
    posts = server.wait_for(3)
    assert [body["message_type"] for _, body in posts] == ["EnvMessage", "EngineMessage", "MetadataMessage"]
    assert posts[1][1]["kv_shape"] == [32, 2, 256, 8, 128]
    assert counting.count == 3


def test_our_sender_sends_nowhere_else(server, sender, config, metadata):
    UsageContext(config, metadata, sender=sender).report_once()
    engine = sender.sent[1][1]
    UsageMessageSender().send("http://127.0.0.1:2/context", {**engine, "chunksize": 1})
    UsageMessageSender().send("http://127.0.0.1:1/context", {"k": "v"})
    UsageMessageSender().send(f"{server.url}/context", {"message_type": "Mine", "k": "v"})
    UsageMessageSender().send(f"{server.url}/context", engine)
    # Messages keep their order.
    assert server.wait_for(1)[0][1]["chunksize"] == 256


def test_a_patched_default_sender_is_called(monkeypatch, config, metadata):
    sent = []
    monkeypatch.setattr(UsageMessageSender, "send", lambda _self, url, payload: sent.append((url, payload)))
    UsageContext(config, metadata).report_once()
    assert kinds(sent) == ["EnvMessage", "EngineMessage", "MetadataMessage"]


@pytest.mark.parametrize("own", [True, False])
def test_a_local_log_has_a_line_for_each_member(server, sender, config, metadata, tmp_path, own):
    path = tmp_path / "usage.log"
    context = UsageContext(config, metadata, str(path), None if own else sender)
    context.report_once()
    if own:
        server.wait_for(3)
    lines = path.read_text().splitlines()
    kinds = [line for line in lines if line.startswith("message_type: ")]
    assert kinds == ["message_type: EnvMessage", "message_type: EngineMessage", "message_type: MetadataMessage"]
    assert f"session_id: {get_usage_identity().session_id}" in lines
    assert "kv_shape: (32, 2, 256, 8, 128)" in lines


@pytest.mark.parametrize("own", [True, False])
def test_a_local_log_that_cannot_be_written_loses_no_message(server, sender, config, metadata, tmp_path, own):
    UsageContext(config, metadata, str(tmp_path), None if own else sender).report_once()
    if own:
        server.wait_for(3)
    else:
        assert len(sender.sent) == 3


def test_none_when_reports_are_off(monkeypatch, sender, config, metadata, mp_config, storage):
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    assert InitializeUsageContext(config, metadata, sender=sender) is None
    assert InitializeMPUsageContext(mp_config, storage(), sender=sender) is None
    assert InitializeUsageContext(config, metadata) is None
    assert sender.sent == []


def test_a_report_that_is_switched_off_later_is_not_made(monkeypatch, sender, config, metadata):
    context = UsageContext(config, metadata, sender=sender)
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    context.report_once()
    assert sender.sent == []


def test_objects_that_lack_something_give_none_and_a_debug_line(lines):
    context = InitializeUsageContext(SimpleNamespace(), SimpleNamespace())
    assert context is not None
    assert ("DEBUG", "Usage telemetry failure in UsageContextBase.report_once (suppressed)") in lines()


def test_a_sender_that_fails_harms_nobody(failing, lines, mp_config, storage):
    MPUsageContext(mp_config, storage(), sender=failing).report_once()
    assert ("DEBUG", "Usage telemetry failure in UsageContextBase.report_once (suppressed)") in lines()


def test_a_panic_of_the_native_part_harms_nobody(monkeypatch, lines, sender, config, metadata):
    PanicException = type("PanicException", (BaseException,), {})

    def panic(*_):
        raise PanicException("forced")

    monkeypatch.setattr("otel_usage.lmcache._core.usage", panic)
    assert InitializeUsageContext(config, metadata) is not None
    assert UsageContext(config, metadata, sender=sender).report_once() is None
    assert ("DEBUG", "Usage telemetry failure in UsageContextBase.report_once (suppressed)") in lines()


def test_an_interrupt_is_no_failure_of_ours(config, metadata):
    class Interrupted(UsageMessageSender):
        def send(self, url, payload):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        UsageContext(config, metadata, sender=Interrupted()).report_once()


def test_the_start_is_told_on_lmcaches_logger(server, config, metadata, mp_config, storage, lines):
    InitializeUsageContext(config, metadata)
    InitializeMPUsageContext(mp_config, storage())
    told = [text for level, text in lines() if level == "INFO"]
    assert told[0] == "Initializing usage context."
    assert "Initializing MP usage context." in told


def test_the_notice_is_one_line_and_told_once(server, process):
    code = """
import logging, os, sys
from types import SimpleNamespace as N
from otel_usage.lmcache import ContinuousUsageContext, UsageMessageSender

class Mine(UsageMessageSender):
    def send(self, url, payload):
        pass

def report(sender=None):
    os.environ["LMCACHE_USAGE_TRACK_INTERVAL"] = str(id(sender))
    context = ContinuousUsageContext(None, sender)
    context.send_caching_message()

logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s:%(name)s:%(message)r")
report(Mine())
print("later")
report()
report()
"""
    told = " ".join(process(code))
    before, _, after = told.partition("later")
    assert before == ""
    assert after.count("INFO:lmcache.usage_telemetry.context:'lmcache reports usage data") == 1
    assert after.count("INFO:") == 1
    assert "\\n" not in after


def test_nothing_is_written_that_upstream_does_not_write(server, engine, config, metadata):
    InitializeUsageContext(config, metadata)
    server.wait_for(3)
    files = [str(path.relative_to(engine)) for path in engine.rglob("*") if path.is_file()]
    assert files == [".config/lmcache/machine_id"]


def test_nothing_waits_on_disk_unless_the_operator_asks_for_it(monkeypatch):
    from otel_usage.lmcache import _core

    assert _core.environment()["OTEL_USAGE_SPOOL_DIR"] == "none"
    monkeypatch.setenv("OTEL_USAGE_SPOOL_DIR", "/var/spool/usage")
    assert _core.environment()["OTEL_USAGE_SPOOL_DIR"] == "/var/spool/usage"


def test_devices_are_those_of_torch_once_it_has_initialised_them(monkeypatch):
    device = SimpleNamespace(
        is_initialized=lambda: True,
        device_count=lambda: 8,
        get_device_properties=lambda _index: SimpleNamespace(name="NVIDIA H100 80GB HBM3", total_memory=85 << 30),
    )
    monkeypatch.setattr(sys.modules["lmcache"], "torch_dev", device)
    environment = collect_env_message()
    assert environment.gpu_count == 8
    assert environment.gpu_type == "NVIDIA H100 80GB HBM3"
    assert environment.gpu_memory_per_device == 85 << 30


def test_torch_is_not_asked_before(monkeypatch):
    asked = []
    # A fork would break CUDA after this.
    device = SimpleNamespace(is_initialized=lambda: False, get_device_properties=asked.append)
    monkeypatch.setattr(sys.modules["lmcache"], "torch_dev", device)
    assert collect_env_message().num_cpu > 0
    assert asked == []


def test_our_own_sender_does_not_read_the_machine_on_the_calling_thread(config, metadata):
    environment, engine, _run = UsageContext(config, metadata)._collect_messages()
    assert vars(environment) == {}
    assert engine.chunksize == 256
