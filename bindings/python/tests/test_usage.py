"""The general API."""

from __future__ import annotations

import json
import logging
import os
from typing import Annotated

import pytest

import otel_usage
from otel_usage import Usage, private, record, sent

#: Longer than everything for which a flush waits. Unit: seconds.
LONG = 3600


@record("my_engine/1", switch="MY_ENGINE_NO_STATS", heartbeat=None, endpoint="report")
class Report:
    """The report of an engine of the tests."""

    layers: Annotated[int, sent("Number of layers.", "configuration")]
    scale: Annotated[float | None, sent("Scale of the model.", "configuration", "1")]
    host: Annotated[str, private("It names a person's machine.")]

    def __init__(self, layers: int, host: str, scale: float | None = None) -> None:
        self.layers, self.host, self.scale = layers, host, scale


def test_an_own_engine_reports_what_its_class_says(host, server):
    with Usage(Report, version="1.2", server=server.url) as usage:
        usage.record(Report(32, "someone-laptop"))
        assert usage.flush(LONG).state == "settled"
    (path, message), *rest = server.messages
    assert (path, rest) == ("/report", [])
    assert message["layers"] == 32
    assert "host" not in message and "someone-laptop" not in str(message)


def test_an_unclassified_member_is_refused():
    with pytest.raises(ValueError, match="Bad.layers is not classified"):

        @record("my_engine/1")
        class Bad:
            layers: int


def test_a_member_that_cannot_be_sent_is_refused():
    with pytest.raises(ValueError, match="Bad.layers cannot be sent: types are bool"):

        @record("my_engine/1")
        class Bad:
            layers: Annotated[dict, sent("Layers by name.", "configuration")]


def test_an_unknown_contract_names_those_that_exist():
    with pytest.raises(ValueError, match="there is no contract .vlm.: use .*vllm/current"):
        Usage("vlm")


def test_an_interval_carries_the_counters(host, server, wait_until, monkeypatch):
    monkeypatch.setenv("LMCACHE_USAGE_TRACK_INTERVAL", "1")
    with Usage("lmcache/1", version="0.5.6") as usage:
        usage.record("lmcache.engine", {"lmcache.chunk_size": 256})
        usage.counter("lmcache.tokens.stored").add(512)
        # On a machine that stands still between these two calls, an interval without it comes first.
        wait_until(lambda: 512 in [body.get("interval_num_stored_tokens") for body in server.bodies], "an interval")


def test_status_stats_and_repr_explain(host, server):
    usage = Usage("vllm/current", version="0.33.0")
    assert usage.status() == {"contract": "vllm/current", "collection": "on", "because": usage.status()["because"]}
    assert repr(usage) == f"<Usage vllm/current on: {server.url}>"
    usage.record("vllm.report", {"vllm.model.architecture": "LlamaForCausalLM"})
    assert usage.flush(LONG).state == "settled"
    stats = usage.stats()
    assert stats["recorded"] == 1
    assert stats["exporters"]["server"]["delivered"] == 1
    usage.finish()


def test_repr_of_a_usage_that_is_off_names_the_switch(host, monkeypatch):
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    assert repr(Usage("vllm/current")) == "<Usage vllm/current off: environment variable DO_NOT_TRACK>"


def test_preview_sends_nothing(host, server):
    (message,) = otel_usage.preview("vllm/current", "vllm.report", {"vllm.model.architecture": "LlamaForCausalLM"})
    assert message["model_architecture"] == "LlamaForCausalLM"
    assert otel_usage.status("vllm/current")["server"] == server.url
    assert server.messages == []


def test_the_notice_is_one_line_on_the_logger_of_the_host(python, server):
    out = python.run(
        """
        import logging, sys
        logging.basicConfig(stream=sys.stdout, level=logging.DEBUG, format="%(name)s %(levelname)s %(message)s")
        import otel_usage
        otel_usage.Usage("vllm/current", logger=logging.getLogger("engine"))
        """
    )
    (line,) = out.splitlines()
    assert line.startswith("engine INFO ") and server.url in line


def test_consent_of_the_engine_cannot_overrule_the_operator(host, server, monkeypatch):
    assert not Usage("vllm/current", consent=False).enabled
    monkeypatch.setenv("OTEL_USAGE_MODE", "off")
    assert not Usage("vllm/current", consent=True).enabled
    assert not otel_usage.is_enabled()


@pytest.mark.parametrize(
    "switch", [{"DO_NOT_TRACK": 1}, {b"DO_NOT_TRACK": b"1"}, {"OTEL_SDK_DISABLED": True}, {"OTEL_USAGE_MODE": None}]
)
def test_a_switch_counts_whatever_its_type(host, switch):
    assert not Usage("vllm/current", environment={**host, **switch}).enabled


def test_values_that_no_attribute_can_hold_do_not_leave(host, server):
    with Usage("vllm/current") as usage:
        usage.record("vllm.report", {"vllm.parallel.tensor": object(), "vllm.cache.block_size": 2**70, "no.such": 1})
        assert usage.flush(LONG).state == "settled"
    (message,) = server.bodies
    assert message["tensor_parallel_size"] == 1 and message["block_size"] is None
    assert usage.stats()["lost"] == {"undeclared_attribute": 1, "wrong_type": 2}


class Hostile:
    """Raises whatever is asked of it."""

    def _raise(self, *_arguments: object) -> None:
        raise RuntimeError("hostile")

    __bool__ = __eq__ = __float__ = __index__ = __iter__ = __len__ = __repr__ = __str__ = __getattr__ = _raise
    __hash__ = None


HALF = "\ud800"
CALLS = {
    "a kind that is no text": lambda usage: usage.record(5),
    "a kind with half a surrogate pair": lambda usage: usage.record(HALF, {}),
    "attributes that are none": lambda usage: usage.record("lmcache.engine", 5),
    "attributes that are a list": lambda usage: usage.record("lmcache.engine", ["a"]),
    "attributes that raise": lambda usage: usage.record("lmcache.engine", Hostile()),
    "a kind that raises": lambda usage: usage.record(Hostile()),
    "values that raise": lambda usage: usage.record("lmcache.engine", {"lmcache.model.name": Hostile(), HALF: HALF}),
    "values for heartbeats": lambda usage: usage.heartbeat(5),
    "an amount that is too large": lambda usage: usage.counter("lmcache.tokens.stored").add(2**70),
    "an amount that is a text": lambda usage: usage.counter("lmcache.tokens.stored").add("1"),
    "an amount with a fraction": lambda usage: usage.counter("lmcache.tokens.stored").add(1.5),
    "a counter without a name": lambda usage: usage.counter(None).add(1),
    "a value that is too large": lambda usage: usage.gauge("lmcache.l1.used").set(2**70),
    "a sample that is a text": lambda usage: usage.histogram("lmcache.cache.lifespan").record("1"),
    "a time that is none": lambda usage: usage.flush(None),
    "a time that is no number": lambda usage: usage.flush(float("nan")),
}


@pytest.mark.parametrize("call", CALLS)
def test_no_call_raises_whatever_the_engine_gives(host, caplog, call):
    usage = Usage("lmcache/1", logger=logging.getLogger("engine"))
    with caplog.at_level(logging.DEBUG):
        CALLS[call](usage)
    assert all(line.levelno <= logging.INFO for line in caplog.records), caplog.records


def test_a_broken_logger_of_the_host_harms_nobody(host):
    assert Usage("vllm/0.7", logger=Hostile()).enabled


def test_a_file_may_have_a_name_that_is_no_utf8(host, server, tmp_path):
    file = os.fsencode(tmp_path) + b"/\xff.json"
    with Usage("vllm/current", file=os.fsdecode(file)) as usage:
        usage.record("vllm.report", {})
        assert usage.flush(LONG).state == "settled"
    with open(file, "rb") as written:
        assert json.loads(written.read()) == server.bodies[0]


def test_a_huge_value_takes_no_memory(python):
    """A text is cut before it is copied, and so is a `dict`."""
    out = python.run(
        """
        import os, resource, otel_usage
        usage = otel_usage.Usage("vllm/current")
        text = "x" * 200_000_000
        many = {f"{number} {text[:1000]}": text[:4000] for number in range(20_000)}
        def most():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        before = most()
        usage.record("vllm.report", {"vllm.model.architecture": text, text: 1})
        usage.record("vllm.report", many)
        print(most() - before, flush=True)
        os._exit(0)
        """
    )
    assert int(out) < 60, f"{out} MiB more"
