"""The intervals of an engine with LMCache in it."""

from types import SimpleNamespace

import pytest

from otel_usage.lmcache import ContinuousUsageContext, get_usage_identity


def stats(hit=0, stored=0, lifespans=()):
    return SimpleNamespace(
        interval_hit_tokens=hit, interval_stored_tokens=stored, interval_request_cache_lifespan=list(lifespans)
    )


@pytest.fixture
def always(monkeypatch):
    """Each look at the statistics ends the interval."""
    monkeypatch.setenv("LMCACHE_USAGE_TRACK_INTERVAL", "0")


def test_an_interval_is_two_messages_of_one_number(always, sender, metadata):
    context = ContinuousUsageContext(metadata, sender=sender)
    context.incr_or_send_stats(stats(100, 200, [0.5, 2.0]))
    (usage_url, usage), (lifespan_url, lifespan) = sender.sent
    assert usage_url == "http://127.0.0.1:1/cache-usage"
    assert usage["message_type"] == "ContinuousContextMessage"
    assert usage["interval_num_hit_tokens"] == 100
    assert usage["interval_num_stored_tokens"] == 200
    assert usage["interval_stored_kv_size"] == 200 * 32 * 2 * 8 * 128 * 2
    assert usage["deployment_mode"] == "single_process"
    assert usage["session_id"] == get_usage_identity().session_id
    assert lifespan_url == "http://127.0.0.1:1/cache-lifespan"
    assert lifespan["message_type"] == "CacheLifespanMessage"
    assert lifespan["cache_lifespan_histogram"][1] == 1
    assert lifespan["cache_lifespan_histogram"][5] == 1
    assert usage["sequence_number"] == lifespan["sequence_number"] == 1
    assert usage["uptime_seconds"] == lifespan["uptime_seconds"] >= 0


def test_the_next_interval_begins_with_nothing(always, sender, metadata):
    context = ContinuousUsageContext(metadata, sender=sender)
    context.incr_or_send_stats(stats(100, 200, [0.5]))
    context.incr_or_send_stats(stats())
    usage, lifespan = (payload for _, payload in sender.sent[2:])
    assert usage["interval_num_hit_tokens"] == usage["interval_num_stored_tokens"] == 0
    assert set(lifespan["cache_lifespan_histogram"].values()) == {0}
    assert usage["sequence_number"] == 2


def test_statistics_add_up_until_the_interval_is_over(monkeypatch, sender, metadata):
    now = [1000.0]
    monkeypatch.setattr("otel_usage.lmcache.continuous.time", SimpleNamespace(monotonic=lambda: now[0]))
    context = ContinuousUsageContext(metadata, sender=sender)
    assert context.min_logging_interval == 600
    for seconds, messages in ((0, 2), (599, 2), (1, 4), (599.9, 4), (0.1, 6)):
        now[0] += seconds
        context.incr_or_send_stats(stats(hit=1))
        assert len(sender.sent) == messages
    assert [payload.get("interval_num_hit_tokens") for _, payload in sender.sent[::2]] == [1, 2, 2]


def test_the_first_look_sends_also_on_a_host_that_has_just_started(monkeypatch, sender, metadata):
    monkeypatch.setattr("otel_usage.lmcache.continuous.time", SimpleNamespace(monotonic=lambda: 12.0))
    ContinuousUsageContext(metadata, sender=sender).incr_or_send_stats(stats())
    assert len(sender.sent) == 2


def test_nothing_is_kept_when_reports_are_off(always, monkeypatch, sender, metadata):
    monkeypatch.setenv("LMCACHE_TRACK_USAGE", "false")
    context = ContinuousUsageContext(metadata, sender=sender)
    context.incr_or_send_stats(stats(100, 200, [1.0]))
    assert sender.sent == []
    assert context.cache_lifespan_data == []
    assert context.interval_num_hit_tokens == 0


@pytest.mark.parametrize(
    ("samples", "counts"),
    [
        ([0.5, 2.0, 3.0], {0: 0, 1: 1, 5: 2, 10: 0}),
        ([], {0: 0, 1: 0, 5: 0, 10: 0}),
        # A bound begins its bucket, and the last one ends the last bucket.
        ([0.0, 1.0, 5.0, 10.0], {0: 0, 1: 1, 5: 1, 10: 2}),
        ([-0.1, 10.1, float("nan"), float("inf")], {0: 0, 1: 0, 5: 0, 10: 0}),
    ],
)
def test_the_histogram_is_numpys(samples, counts, metadata):
    assert ContinuousUsageContext(metadata).list_to_histogram(samples, [0, 1, 5, 10]) == counts


def test_an_interval_that_is_no_number_is_the_default(monkeypatch, metadata):
    monkeypatch.setenv("LMCACHE_USAGE_TRACK_INTERVAL", "10m")
    assert ContinuousUsageContext.GetOrCreate(metadata).min_logging_interval == 600


@pytest.mark.parametrize("shape", [(), (1, 2), None, (1, 2, 0)])
def test_a_shape_without_tokens_gives_no_size(always, sender, metadata, shape):
    metadata.kv_shape = shape
    context = ContinuousUsageContext(metadata, sender=sender)
    context.incr_or_send_stats(stats(stored=100))
    assert context.kv_sz_per_token_bytes == 0
    assert sender.sent[0][1]["interval_stored_kv_size"] == 0


def test_one_instance_in_a_process(metadata, lines):
    first = ContinuousUsageContext.GetOrCreate(metadata)
    assert ContinuousUsageContext.GetOrCreate(metadata) is first
    other = SimpleNamespace(**vars(metadata))
    other.model_name = "another"
    assert ContinuousUsageContext.GetOrCreate(other) is first
    assert [level for level, _ in lines()] == ["ERROR"]


def test_the_instance_can_be_made_of_anything():
    class Odd:
        def __getattr__(self, name):
            raise RuntimeError(name)

        def __eq__(self, other):
            raise RuntimeError("no answer")

    assert ContinuousUsageContext.GetOrCreate(Odd()) is ContinuousUsageContext.GetOrCreate(None)


def test_a_sender_that_fails_harms_nobody(always, failing, metadata, lines):
    context = ContinuousUsageContext(metadata, sender=failing)
    context.incr_or_send_stats(stats(hit=1))
    context.incr_or_send_stats(None)
    text = "Usage telemetry failure in ContinuousUsageContext.incr_or_send_stats (suppressed)"
    assert lines().count(("DEBUG", text)) == 2


def test_an_engine_reports_its_intervals_to_a_server(always, server, metadata):
    context = ContinuousUsageContext(metadata)
    context.incr_or_send_stats(stats(7, 9, [1.0]))
    (usage_path, usage), (lifespan_path, lifespan) = server.wait_for(2)
    assert (usage_path, lifespan_path) == ("/cache-usage", "/cache-lifespan")
    assert usage["interval_num_hit_tokens"] == 7
    assert usage["interval_num_stored_tokens"] == 9
    assert usage["session_id"] == get_usage_identity().session_id
    assert lifespan["cache_lifespan_histogram"]["5"] == 1
    assert usage["sequence_number"] == 1
    assert usage["uptime_seconds"] == lifespan["uptime_seconds"]


def test_reports_follow_the_variable_at_each_call(always, server, monkeypatch, metadata):
    context = ContinuousUsageContext(metadata)
    monkeypatch.setenv("LMCACHE_USAGE_TRACK_URL", f"{server.url}/other")
    context.incr_or_send_stats(stats())
    posts = server.wait_for(2)
    assert [path for path, _ in posts] == ["/other/cache-usage", "/other/cache-lifespan"]


def test_a_long_interval_keeps_few_samples_and_counts_all(monkeypatch, sender, metadata):
    monkeypatch.setattr("otel_usage.lmcache.continuous._SAMPLES", 10)
    context = ContinuousUsageContext(metadata, sender=sender)
    context.incr_or_send_stats(stats())
    for _ in range(100):
        context.incr_or_send_stats(stats(lifespans=[0.5, 2.0, 9.0]))
        assert len(context.cache_lifespan_data) <= 10
    context.send_caching_message()
    context.send_caching_message()
    full, empty = (payload["cache_lifespan_histogram"] for _, payload in sender.sent[3::2])
    assert {bound: count for bound, count in full.items() if count} == {1: 100, 5: 100, 10: 100}
    assert set(empty.values()) == {0}
