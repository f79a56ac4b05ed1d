"""The reporters of a multi-process server."""

import sys
import threading
from types import SimpleNamespace

import pytest

from otel_usage.lmcache import flush, get_usage_identity
from otel_usage.lmcache.l1_usage import InitializeL1Usage, L1UsageReporter
from otel_usage.lmcache.l2_usage import InitializeL2ConnectorUsage, L2ConnectorUsageReporter, L2TypeUsage
from otel_usage.lmcache.metric_specs import MetricSpec, default_metric_specs
from otel_usage.lmcache.mp_continuous import InitializeMPContinuousUsage, MPContinuousUsageReporter


@pytest.fixture
def events():
    from lmcache.v1.mp_observability import event

    return event


@pytest.fixture
def bus():
    from lmcache.v1.mp_observability.event_bus import EventBus

    return EventBus()


@pytest.fixture
def threads():
    from lmcache.v1.periodic_thread import THREADS

    return THREADS


@pytest.fixture
def traffic(bus, events):
    """One retrieval and one store."""

    def publish():
        kinds = events.EventType
        bus.publish(events.event(kinds.MP_RETRIEVE_END, retrieved_count=4, total_bytes=4096))
        bus.publish(events.event(kinds.MP_STORE_END, stored_count=2, total_bytes=1000))

    return publish


@pytest.fixture
def l2_traffic(bus, events):
    """Stores by two adapters, and a load."""

    def publish():
        kinds = events.EventType
        for name, stored, good, bad in (("dax", 1000, 3, 1), ("dax", 500, 2, 0), ("posix", 256, 1, 0)):
            counts = {"bytes_transferred": stored, "succeeded_count": good, "failed_count": bad}
            bus.publish(events.event(kinds.L2_STORE_COMPLETED, l2_name=name, **counts))
        bus.publish(events.event(kinds.L2_LOAD_TASK_SUBMITTED, l2_name="dax", key_count=4, total_bytes=2048))

    return publish


def test_the_bus_ends_with_what_is_left(bus, traffic, sender):
    InitializeMPContinuousUsage(bus, 256, sender)
    traffic()
    bus.stop()
    ((url, payload),) = sender.sent
    assert url == "http://127.0.0.1:1/cache-usage"
    assert payload["message_type"] == "ContinuousContextMessage"
    assert payload["deployment_mode"] == "mp_server"
    assert payload["interval_num_hit_tokens"] == 4 * 256
    assert payload["interval_num_stored_tokens"] == 2 * 256
    assert payload["interval_stored_kv_size"] == 1000
    assert payload["sequence_number"] == 1
    assert payload["uptime_seconds"] >= 0
    assert payload["session_id"] == get_usage_identity().session_id


def test_an_interval_begins_with_nothing(bus, traffic, sender):
    reporter = InitializeMPContinuousUsage(bus, 256, sender)
    traffic()
    reporter.flush()
    reporter.flush()
    assert [payload["interval_num_hit_tokens"] for _, payload in sender.sent] == [1024, 0]
    assert [payload["sequence_number"] for _, payload in sender.sent] == [1, 2]


def test_another_size_of_a_chunk_counts_from_now_on(bus, traffic, sender):
    reporter = InitializeMPContinuousUsage(bus, 256, sender)
    reporter.update_chunk_size(640)
    traffic()
    reporter.flush()
    assert sender.sent[0][1]["interval_num_hit_tokens"] == 4 * 640


def test_samples_are_dropped_when_reports_are_off_later(bus, traffic, sender, monkeypatch):
    reporter = InitializeMPContinuousUsage(bus, 256, sender)
    traffic()
    monkeypatch.setenv("LMCACHE_TRACK_USAGE", "false")
    reporter.flush()
    monkeypatch.delenv("LMCACHE_TRACK_USAGE")
    reporter.flush()
    assert [payload["interval_num_hit_tokens"] for _, payload in sender.sent] == [0]
    # The gap tells of a lost interval.
    assert sender.sent[0][1]["sequence_number"] == 2


def test_specs_name_each_member_once(events):
    store = events.EventType.MP_STORE_END
    one = MetricSpec(event_type=store, field="interval_stored_kv_size", extract=lambda event: 1, reduce=sum)
    for specs in ([one], [*default_metric_specs(1), one]):
        with pytest.raises(ValueError, match="exactly once"):
            MPContinuousUsageReporter(256, specs=specs)
    with pytest.raises(ValueError, match="max_buffered_samples"):
        MPContinuousUsageReporter(256, max_buffered_samples=0)
    assert flush.Reporter._alive == 0


def test_own_specs_extract_and_reduce(bus, traffic, sender):
    retrieved, stored, size = default_metric_specs(1)
    largest = MetricSpec(size.event_type, size.field, size.extract, lambda samples: max(samples, default=0))
    skipped = MetricSpec(retrieved.event_type, retrieved.field, lambda event: None, sum)
    reporter = MPContinuousUsageReporter(256, sender, [skipped, stored, largest])
    bus.register_subscriber(reporter)
    traffic()
    traffic()
    reporter.flush()
    payload = sender.sent[0][1]
    assert payload["interval_num_hit_tokens"] == 0
    assert payload["interval_num_stored_tokens"] == 4
    assert payload["interval_stored_kv_size"] == 1000


def test_a_buffer_that_no_thread_empties_stays_small(bus, traffic, sender, monkeypatch):
    monkeypatch.setattr("otel_usage.lmcache.flush.start_usage_flush_thread", lambda *_: SimpleNamespace(wake=lambda: None))
    reporter = MPContinuousUsageReporter(256, sender, max_buffered_samples=2)
    bus.register_subscriber(reporter)
    for _ in range(10):
        traffic()
    assert max(len(buffer) for buffer in reporter._buffers.values()) == 4


def test_a_full_buffer_wakes_the_thread(bus, traffic, sender, threads):
    reporter = MPContinuousUsageReporter(256, sender, max_buffered_samples=2)
    bus.register_subscriber(reporter)
    traffic()
    assert threads["lmcache-usage-continuous"].woken == 0
    traffic()
    assert threads["lmcache-usage-continuous"].woken > 0


def test_an_event_without_its_values_harms_nobody(bus, events, sender, lines):
    reporter = InitializeMPContinuousUsage(bus, 256, sender)
    bus.publish(events.event(events.EventType.MP_STORE_END))
    reporter.flush()
    assert sender.sent[0][1]["interval_num_stored_tokens"] == 0
    assert any("suppressed" in text for _, text in lines())


def test_adapters_are_reported_by_type(bus, l2_traffic, sender):
    reporter = L2ConnectorUsageReporter(lambda: {"dax": L2TypeUsage(100, 1000, 0)}, sender)
    bus.register_subscriber(reporter)
    l2_traffic()
    bus.stop()
    assert [url for url, _ in sender.sent] == 2 * ["http://127.0.0.1:1/l2-usage"]
    dax, posix = (payload for _, payload in sender.sent)
    assert dax["message_type"] == "L2ConnectorUsageMessage"
    assert dax["deployment_mode"] == "mp_server"
    assert dax["l2_name"] == "dax"
    assert dax["interval_stored_bytes"] == 1500
    assert dax["interval_store_succeeded_keys"] == 5
    assert dax["interval_store_failed_keys"] == 1
    assert dax["interval_load_submitted_keys"] == 4
    assert dax["interval_load_submitted_bytes"] == 2048
    assert (dax["bytes_used"], dax["capacity_bytes"], dax["unbounded_adapters"]) == (100, 1000, 0)
    # It had traffic and is gone.
    assert posix["l2_name"] == "posix"
    assert posix["interval_stored_bytes"] == 256
    assert (posix["bytes_used"], posix["capacity_bytes"]) == (-1, 0)
    assert dax["sequence_number"] == posix["sequence_number"] == 1
    assert dax["active_seconds"] == posix["active_seconds"] > 0


def test_an_idle_adapter_is_reported_and_none_is_not(sender):
    L2ConnectorUsageReporter(dict, sender).flush()
    assert sender.sent == []
    L2ConnectorUsageReporter(lambda: {"dax": L2TypeUsage(50, 200, 0)}, sender).flush()
    assert sender.sent[0][1]["interval_stored_bytes"] == 0
    assert sender.sent[0][1]["bytes_used"] == 50


def test_traffic_outlives_a_probe_that_fails(bus, l2_traffic, sender):
    def broken():
        raise RuntimeError("no answer")

    bus.register_subscriber(L2ConnectorUsageReporter(broken, sender))
    l2_traffic()
    bus.stop()
    assert [payload["bytes_used"] for _, payload in sender.sent] == [-1, -1]
    assert sender.sent[0][1]["interval_stored_bytes"] == 1500


def test_adapters_of_a_type_are_summed(bus, sender):
    def adapter(used, capacity):
        return SimpleNamespace(total_bytes_used=used, total_capacity_bytes=capacity)

    adapters = {"dax": [adapter(100, 1000), adapter(25, 0)]}
    storage_manager = SimpleNamespace(get_l2_usages_by_type=lambda: adapters)
    InitializeL2ConnectorUsage(bus, storage_manager, sender)
    bus.stop()
    payload = sender.sent[0][1]
    assert (payload["bytes_used"], payload["capacity_bytes"], payload["unbounded_adapters"]) == (125, 1000, 1)


def test_an_adapters_usage_is_frozen_and_positional():
    usage = L2TypeUsage(1, 2, 3)
    assert (usage.bytes_used, usage.capacity_bytes, usage.unbounded_adapters) == (1, 2, 3)
    assert usage == L2TypeUsage(bytes_used=1, capacity_bytes=2, unbounded_adapters=3)
    assert {usage, L2TypeUsage(1, 2, 3)} == {usage}
    with pytest.raises(AttributeError):
        usage.bytes_used = 4
    with pytest.raises(AttributeError):
        del usage.bytes_used


def test_the_first_level_is_probed(bus, sender):
    storage_manager = SimpleNamespace(get_l1_usage=lambda: (512, 4096))
    InitializeL1Usage(bus, storage_manager, sender)
    bus.stop()
    ((url, payload),) = sender.sent
    assert url == "http://127.0.0.1:1/l1-usage"
    assert payload["message_type"] == "L1UsageMessage"
    assert payload["deployment_mode"] == "mp_server"
    assert (payload["bytes_used"], payload["capacity_bytes"]) == (512, 4096)
    assert payload["active_seconds"] > 0
    assert payload["sequence_number"] == 1


def test_each_interval_has_its_own_length(sender, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(flush, "time", SimpleNamespace(monotonic=lambda: now[0]))
    reporter = L1UsageReporter(lambda: (1, 2), sender)
    for seconds in (5, 3):
        now[0] += seconds
        reporter.flush()
    assert [payload["active_seconds"] for _, payload in sender.sent] == [5, 3]
    assert [payload["uptime_seconds"] for _, payload in sender.sent] == [5, 8]


def test_a_first_level_that_does_not_answer(sender):
    def broken():
        raise RuntimeError("no answer")

    L1UsageReporter(broken, sender).flush()
    assert (sender.sent[0][1]["bytes_used"], sender.sent[0][1]["capacity_bytes"]) == (-1, 0)


def start_all(bus, sender=None):
    storage_manager = SimpleNamespace(
        get_l1_usage=lambda: (1, 2),
        get_l2_usages_by_type=lambda: {
            name: [SimpleNamespace(total_bytes_used=1, total_capacity_bytes=2)] for name in ("dax", "fs")
        },
    )
    return [
        InitializeMPContinuousUsage(bus, 256, sender),
        InitializeL2ConnectorUsage(bus, storage_manager, sender),
        InitializeL1Usage(bus, storage_manager, sender),
    ]


def test_none_when_reports_are_off(bus, monkeypatch, threads):
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    assert start_all(bus) == [None, None, None]
    assert not threads
    assert not bus.subscribers


def test_a_sender_that_fails_harms_nobody(bus, failing):
    start_all(bus, failing)
    bus.stop()


def test_lmcaches_own_threads_run_the_reporters(bus, sender, threads, monkeypatch, lines):
    monkeypatch.setenv("LMCACHE_USAGE_TRACK_INTERVAL", "2.5")
    start_all(bus, sender)
    assert list(threads) == ["lmcache-usage-continuous", "lmcache-usage-l2", "lmcache-usage-l1"]
    for thread in threads.values():
        assert thread.running
        assert thread.level.name == "LOW"
        assert thread.interval == thread.init_wait == 2.5
        assert thread.run().success is True
    assert len(sender.sent) == 4
    bus.stop()
    assert not any(thread.running for thread in threads.values())
    assert [text for level, text in lines() if level == "INFO"] == [
        "Initializing MP continuous usage reporting.",
        "Initializing L2 connector usage reporting.",
        "Initializing L1 usage reporting.",
    ]


def test_a_reporter_is_a_subscriber_of_lmcaches_bus(bus, sender):
    from lmcache.v1.mp_observability.event_bus import EventSubscriber

    for reporter in start_all(bus, sender):
        assert isinstance(reporter, EventSubscriber)


@pytest.mark.parametrize(
    ("text", "seconds"), [("10m", 600), ("0", 1), ("-5", 1), ("0.5", 1), ("2.5", 2.5), ("nan", 600), ("inf", 1e6)]
)
def test_the_interval_of_a_server(monkeypatch, text, seconds):
    monkeypatch.setenv("LMCACHE_USAGE_TRACK_INTERVAL", text)
    assert flush.usage_flush_interval_seconds() == seconds


def test_a_plain_thread_where_lmcache_is_not_loaded(monkeypatch, patience):
    for name in [name for name in sys.modules if name.partition(".")[0] == "lmcache"]:
        monkeypatch.delitem(sys.modules, name)
    ran = threading.Semaphore(0)

    def run():
        ran.release()
        raise RuntimeError("the next one runs all the same")

    thread = flush.start_usage_flush_thread("lmcache-usage-l1", run)
    assert "lmcache-usage-l1" in [one.name for one in threading.enumerate()]
    for _ in range(2):
        thread.wake()
        assert ran.acquire(timeout=patience)
    thread.stop(timeout=patience)
    assert "lmcache-usage-l1" not in [one.name for one in threading.enumerate()]


def test_a_server_reports_to_a_server(bus, traffic, server):
    start_all(bus)
    traffic()
    bus.stop()
    posts = server.wait_for(4)
    # The last one that registered ends first.
    assert [path for path, _ in posts] == ["/l1-usage", "/l2-usage", "/l2-usage", "/cache-usage"]
    assert [body.get("l2_name") for _, body in posts] == [None, "dax", "fs", None]
    assert posts[3][1]["interval_num_hit_tokens"] == 1024
    assert {body["deployment_mode"] for _, body in posts} == {"mp_server"}


def test_the_end_has_sent_everything_when_the_server_answers(bus, traffic, server, monkeypatch):
    # However slow this machine is.
    monkeypatch.setattr(flush, "_END", 3600.0)
    start_all(bus)
    bus.stop()
    assert len(server.posts) == 4


def test_all_ends_share_a_quarter_of_a_second(bus, sender, threads, monkeypatch):
    now, waits = [0.0], []
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(flush, "time", clock)
    start_all(bus)

    def wait(seconds):
        waits.append(seconds)
        now[0] += max(seconds, 0) * 0.8

    monkeypatch.setattr("otel_usage.lmcache._core.flush", wait)
    bus.stop()
    joins = [thread.timeouts[0] for thread in reversed(threads.values())]
    assert waits == pytest.approx([0.25, 0.05, 0.01])
    assert joins == pytest.approx([0.25, 0.05, 0.01])
    # The next server of this process has a quarter of its own.
    start_all(bus)
    waits.clear()
    bus.stop()
    assert max(waits) == pytest.approx(0.25)


def test_a_server_that_hangs_does_not_hold_up_the_end(bus, server, turns):
    server.hangs = True
    start_all(bus)
    made = {}
    exec(turns, made)
    with made["Turns"]() as counted:
        bus.stop()
    # The limit is 25 turns. Upstream takes five seconds for each message.
    assert counted.count < 250
