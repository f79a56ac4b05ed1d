"""The surface of vLLM's module, and what its calls cause."""

from __future__ import annotations

import enum
import json
import logging
import pickle
import sys
from types import SimpleNamespace

import pytest

from otel_usage import _reporter, vllm
from otel_usage.vllm import UsageContext, usage_lib


@pytest.fixture(autouse=True)
def fresh(host, monkeypatch):
    """A process that has not reported yet."""
    made = _reporter.Reporter("vllm/current", version=vllm._version, logger=vllm._logger, settings=vllm._settings)
    monkeypatch.setattr(vllm, "_reporter", made)
    monkeypatch.setattr(vllm.usage_message, "_reporter", made)
    monkeypatch.setattr(vllm, "_USAGE_STATS_ENABLED", None)
    for name in [name for name in sys.modules if name.split(".")[0] in ("torch", "vllm")]:
        monkeypatch.delitem(sys.modules, name)


def given(monkeypatch, name, **values):
    """Put a stand-in for a module in place."""
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(__name__=name, **values))


def report(server, **settings):
    vllm.usage_message.report_usage("LlamaForCausalLM", UsageContext.ENGINE_CONTEXT, settings)
    return server.wait(1)[0]


def test_the_contexts_are_texts_and_keys_and_survive_pickling():
    assert issubclass(UsageContext, str) and issubclass(UsageContext, enum.Enum)
    assert [each.name for each in UsageContext] == [each.value for each in UsageContext]
    sizes = {UsageContext.LLM_CLASS: 16384, UsageContext.OPENAI_API_SERVER: 8192}
    assert sizes[pickle.loads(pickle.dumps(UsageContext.LLM_CLASS))] == 16384
    assert "LLM_CLASS" in sizes


def test_a_report_arrives_with_the_settings_of_the_engine(server, home):
    message = report(server, dtype="torch.bfloat16", tensor_parallel_size=8, gpu_memory_utilization=0.9)
    assert message["context"] == "ENGINE_CONTEXT"
    assert message["model_architecture"] == "LlamaForCausalLM"
    assert (message["dtype"], message["tensor_parallel_size"]) == ("torch.bfloat16", 8)
    assert message["uuid"] == vllm.usage_message.uuid
    # The same file as the original's, and no other.
    written = [path for path in home.rglob("*") if path.is_file()]
    assert written == [home / ".config/vllm/usage_stats.json"]
    assert json.loads(written[0].read_text()) == message


@pytest.mark.parametrize("switch", ["DO_NOT_TRACK", "VLLM_DO_NOT_TRACK", "VLLM_NO_USAGE_STATS"])
def test_each_switch_of_the_original_stops_reports(server, home, monkeypatch, switch):
    monkeypatch.setenv(switch, "1")
    assert vllm.is_usage_stats_enabled() is False
    vllm.usage_message.report_usage("LlamaForCausalLM", UsageContext.ENGINE_CONTEXT)
    assert server.messages == [] and list(home.iterdir()) == []


def test_the_file_of_the_original_stops_reports(home):
    (home / ".config/vllm").mkdir(parents=True)
    (home / ".config/vllm/do_not_track").touch()
    assert vllm.is_usage_stats_enabled() is False


def test_the_answer_is_kept_as_the_original_keeps_it(monkeypatch):
    assert vllm.is_usage_stats_enabled() is True
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    assert vllm.is_usage_stats_enabled() is True
    monkeypatch.setattr(vllm, "_USAGE_STATS_ENABLED", None)
    assert vllm.is_usage_stats_enabled() is False


def test_an_opt_out_after_the_answer_still_stops_the_report(server, monkeypatch):
    assert vllm.is_usage_stats_enabled() is True
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    vllm.usage_message.report_usage("LlamaForCausalLM", UsageContext.ENGINE_CONTEXT)
    assert not vllm._reporter._native.enabled


def test_a_declared_key_is_sent_and_another_is_dropped_counted_and_named_once(server, caplog):
    vllm.declare("max_loras", int, doc="Most LoRA adapters in a batch.", kind="configuration")
    vllm.declare("max_loras", int, doc="Most LoRA adapters in a batch.", kind="configuration")
    with caplog.at_level(logging.DEBUG):
        message = report(server, max_loras=4, secret="hf_x")
        vllm.usage_message.report_usage("LlamaForCausalLM", UsageContext.ENGINE_CONTEXT, {"secret": "hf_x"})
    assert message["max_loras"] == 4
    assert "hf_x" not in str(server.wait(2))
    assert vllm.usage_message.undeclared == {"secret": 2}
    assert [line.getMessage() for line in caplog.records if "secret" in line.getMessage()] == [
        "The usage field secret is not sent, because nobody declared it"
    ]


def test_a_declared_key_that_the_contract_knows_stays_as_it_is(server):
    vllm.declare("dtype", int, doc="Not what the contract says.", kind="configuration")
    assert report(server, dtype="torch.float16")["dtype"] == "torch.float16"


def test_a_declared_value_of_another_type_is_not_sent(server):
    vllm.declare("max_loras", int, doc="Most LoRA adapters in a batch.", kind="configuration")
    assert "max_loras" not in report(server, max_loras="four")


def test_a_wrong_declaration_is_refused():
    with pytest.raises(ValueError, match="max_loras: .*dict.* cannot be sent: use one of bool, float, int, str"):
        vllm.declare("max_loras", dict, doc="", kind="configuration")
    with pytest.raises(ValueError, match="max_loras: 'setting' is no kind of data: use one of configuration"):
        vllm.declare("max_loras", int, doc="", kind="setting")


def test_a_declaration_after_the_report_is_a_line_for_debugging(server, caplog):
    report(server)
    with caplog.at_level(logging.DEBUG):
        vllm.declare("max_loras", int, doc="Most LoRA adapters in a batch.", kind="configuration")
    assert "max_loras" in caplog.text


def test_the_notice_is_one_line_of_the_logger_of_vllm(python, server):
    out = python.run(
        """
        import logging, sys, types
        logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
        sys.modules["vllm.logger"] = types.SimpleNamespace(init_logger=logging.getLogger)
        import otel_usage.vllm as vllm
        for _ in range(2):
            vllm.usage_message.report_usage("LlamaForCausalLM", vllm.UsageContext.ENGINE_CONTEXT)
        sys.stdin.readline()
        """
    )
    (line,) = out.splitlines()
    assert line.startswith("vllm.usage.usage_lib INFO vllm reports usage data") and server.url in line


def test_an_error_is_a_line_for_debugging(server, monkeypatch, caplog):
    def broken():
        raise RuntimeError("no version")

    monkeypatch.setattr(vllm._reporter, "_version", broken)
    with caplog.at_level(logging.DEBUG):
        assert vllm.usage_message.report_usage("LlamaForCausalLM", UsageContext.ENGINE_CONTEXT) is None
    assert [line.levelno for line in caplog.records] == [logging.DEBUG]
    assert server.messages == []


def test_torch_is_asked_only_where_it_has_initialised_its_devices(server, monkeypatch):
    def forbidden(*_arguments):
        raise AssertionError("a driver was asked that nobody had initialised")

    given(
        monkeypatch,
        "torch",
        version=SimpleNamespace(cuda="13.0"),
        cuda=SimpleNamespace(
            is_initialized=lambda: False, device_count=forbidden, get_device_properties=forbidden
        ),
    )
    assert report(server)["cuda_runtime"] is None


@pytest.mark.parametrize(("kind", "key"), [("cuda", "cuda_runtime"), ("xpu", "xpu_runtime")])
def test_devices_come_from_an_initialised_torch(server, monkeypatch, kind, key):
    properties = SimpleNamespace(name="Some Device", total_memory=85_029_158_912)
    devices = SimpleNamespace(
        is_initialized=lambda: True, device_count=lambda: 8, get_device_properties=lambda _index: properties
    )
    given(monkeypatch, "torch", version=SimpleNamespace(**{kind: "13.0"}), **{kind: devices})
    message = report(server)
    assert (message["gpu_count"], message["gpu_type"]) == (8, "Some Device")
    assert message["gpu_memory_per_device"] == 85_029_158_912
    assert message[key] == "13.0"


def test_a_report_imports_neither_torch_nor_vllm(python, server):
    out = python.run(
        """
        import sys, otel_usage.vllm as vllm
        vllm.usage_message.report_usage("LlamaForCausalLM", vllm.UsageContext.ENGINE_CONTEXT)
        print(*[name for name in ("torch", "vllm", "psutil", "cpuinfo", "requests") if name in sys.modules])
        sys.stdin.readline()
        """
    )
    assert out.strip() == ""


def test_the_identity_is_known_before_the_report(server):
    before = vllm.usage_message.uuid
    assert report(server)["uuid"] == before == vllm.usage_message.uuid


def sglang(url, **more):
    return usage_lib(
        "sglang/1",
        version="0.5.23",
        server=url,
        switches=["SGLANG_NO_USAGE_STATS"],
        directory=("sglang", "SGLANG_CONFIG_ROOT"),
        **more,
    )


def test_another_engine_gets_the_same_names_for_its_own_server(server, home, monkeypatch):
    lib = sglang(server.url)
    assert lib.UsageContext is UsageContext and lib.is_usage_stats_enabled()
    lib.declare("schedule_policy", str, doc="Order of requests.", kind="configuration")
    lib.usage_message.report_usage("LlamaForCausalLM", "ENGINE_CONTEXT", {"schedule_policy": "lpm"})
    message = server.wait(1)[0]
    assert (message["vllm_version"], message["schedule_policy"]) == ("0.5.23", "lpm")
    assert [path for path in home.rglob("*") if path.is_file()] == [home / ".config/sglang/usage_stats.json"]
    assert "sglang/1 on" in repr(lib.usage_message)


def test_the_switch_of_another_engine_stops_it_and_not_vllm(server, monkeypatch):
    monkeypatch.setenv("SGLANG_NO_USAGE_STATS", "1")
    assert sglang(server.url).is_usage_stats_enabled() is False
    assert vllm.is_usage_stats_enabled() is True


def test_a_heartbeat_carries_the_declared_values_of_the_run(server):
    from otel_usage import _native

    operation = {
        "server": server.url,
        "server_variable": None,
        "switches": [],
        "notice_url": None,
        "directory": None,
        "local_file": None,
    }
    text = _native.like_contract("vllm/current", "quick/1", "quick", operation)
    assert '"seconds": 600' in text or '"seconds":600' in text
    text = text.replace('"seconds": 600', '"seconds": 1').replace('"seconds":600', '"seconds":1')
    lib = usage_lib(text)
    lib.declare("requests", int, doc="Requests so far.", kind="workload", heartbeat=True)
    lib.set_runtime_usage_data("requests", 7)
    lib.set_runtime_usage_data("unknown", 7)
    lib.usage_message.report_usage("LlamaForCausalLM", "ENGINE_CONTEXT")
    beat = server.wait(2)[1]
    assert set(beat) == {"uuid", "log_time", "requests"} and beat["requests"] == 7
    lib.set_runtime_usage_data("requests", 8)
    while server.bodies[-1].get("requests") != 8:
        server.wait(len(server.messages) + 1)
    assert "unknown" in lib.usage_message.undeclared
