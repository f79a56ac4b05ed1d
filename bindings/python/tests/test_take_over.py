"""The doors through which an engine reports without a change to it."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

#: A stand-in for the parts of vLLM that the doors touch, as files on the path.
ENGINE = {
    "vllm/__init__.py": "",
    "vllm/usage/__init__.py": "",
    "vllm/usage/usage_lib.py": """
calls = []
class UsageMessage:
    def report_usage(self, model_architecture, usage_context, extra_kvs=None):
        calls.append(model_architecture)
def is_usage_stats_enabled():
    calls.append("asked")
    return True
def set_runtime_usage_data(key, value):
    pass
usage_message = UsageMessage()
""",
    "vllm/v1/__init__.py": "",
    "vllm/v1/utils.py": """
from vllm.usage.usage_lib import is_usage_stats_enabled, usage_message
def report():
    if is_usage_stats_enabled():
        usage_message.report_usage("LlamaForCausalLM", "ENGINE_CONTEXT", extra_kvs={"dtype": "torch.bfloat16"})
""",
}


@pytest.fixture
def engine(tmp_path, python):
    """A folder with the stand-in, on the path of each script."""
    folder = tmp_path / "engine"
    write(folder, ENGINE)
    before = python.variables.get("PYTHONPATH")
    python.variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), before]))
    return folder


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


WANTED = {"OTEL_USAGE_TAKE_OVER": "1"}
PLUG_IN = """
import vllm.v1.utils as utils, vllm.usage.usage_lib as original, sys
from importlib.metadata import entry_points
for found in entry_points(group="vllm.general_plugins"):
    if found.name == "otel_usage":
        found.load()()
        found.load()()
"""


def test_the_entry_points_are_installed():
    (plug_in,) = importlib.metadata.entry_points(group="vllm.general_plugins", name="otel_usage")
    assert callable(plug_in.load())
    (exporter,) = importlib.metadata.entry_points(group="opentelemetry_traces_exporter", name="otel_usage")
    assert exporter.value == "otel_usage.span_exporter:UsageSpanExporter"


@pytest.mark.parametrize("value", [None, "", "0", "yes please"])
def test_the_plug_in_does_nothing_unless_the_operator_asks(python, engine, server, value):
    python.run(
        PLUG_IN
        + """
utils.report()
assert original.calls == ["asked", "LlamaForCausalLM"], original.calls
assert "otel_usage._native" not in sys.modules and "otel_usage.vllm" not in sys.modules
""",
        more={} if value is None else {"OTEL_USAGE_TAKE_OVER": value},
    )
    assert server.messages == []


def test_the_plug_in_replaces_the_method_that_others_hold(python, engine, server):
    process = python.start(PLUG_IN + "utils.report()\nassert original.calls == []\nsys.stdin.read()\n", more=WANTED)
    (message,) = server.wait(1)
    assert (message["model_architecture"], message["dtype"]) == ("LlamaForCausalLM", "torch.bfloat16")
    python.end(process)


def test_an_opt_out_holds_behind_the_plug_in(python, engine, server):
    python.run(PLUG_IN + "utils.report()\nassert original.calls == []\n", more={**WANTED, "DO_NOT_TRACK": "1"})
    assert server.messages == []


def test_an_error_in_a_door_never_reaches_the_engine(python, engine, server):
    write(engine, {"vllm/usage/usage_lib.py": "is_usage_stats_enabled = usage_message = None\n"})
    python.run(PLUG_IN + "from otel_usage.lmcache_server_module import build_server_modules as b\nassert b(None) == []", more=WANTED)


def run(python, *program, **more):
    """`python -m otel_usage run`, with a program that waits for the end of its input."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-m", "otel_usage", "run", "--", *program],
        env={**python.variables, **more},
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
    )


CALL = "import vllm.v1.utils as u, vllm.usage.usage_lib as o, sys; u.report(); print(o.calls); sys.stdin.read()"


def test_run_starts_an_engine_that_reports_through_this_package(python, engine, server):
    process = run(python, sys.executable, "-c", CALL, **WANTED)
    (message,) = server.wait(1)
    assert message["dtype"] == "torch.bfloat16"
    assert python.end(process).strip() == "[]"


def test_run_without_the_operators_word_changes_nothing_and_says_so(python, engine, server):
    out, errors = run(python, sys.executable, "-c", CALL).communicate("", python.patience)
    assert out.strip() == "['asked', 'LlamaForCausalLM']"
    assert errors == "warning: OTEL_USAGE_TAKE_OVER is not 1, so that the engine keeps its own reports\n"
    assert server.messages == []


def test_the_sitecustomize_of_the_host_runs_too(python, engine):
    write(engine, {"sitecustomize.py": "print('the host')\n"})
    script = "import sitecustomize; print(sitecustomize.__file__)"
    out = python.end(run(python, sys.executable, "-c", script, **WANTED))
    assert out.split("\n") == ["the host", str(engine / "sitecustomize.py"), ""]


def test_a_spawned_child_is_taken_over_too(python, engine, server, tmp_path):
    script = tmp_path / "engine.py"
    script.write_text(
        """
import multiprocessing, sys
def worker(end):
    import vllm.v1.utils
    vllm.v1.utils.report()
    end.recv()
if __name__ == "__main__":
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(target=worker, args=(theirs,))
    child.start()
    sys.stdin.read()
    ours.send("end")
    child.join()
"""
    )
    process = run(python, sys.executable, str(script), **WANTED)
    assert server.wait(1)[0]["dtype"] == "torch.bfloat16"
    python.end(process)


def test_run_without_a_program_says_what_to_write(python):
    process = run(python)
    _, errors = process.communicate("", python.patience)
    assert process.returncode == 2
    assert errors == "error: there is no program to start: write python -m otel_usage run -- vllm serve <model>\n"


def test_lmcaches_server_gets_our_four_functions(monkeypatch):
    from types import SimpleNamespace

    from otel_usage import lmcache_server_module as door

    names = (
        "InitializeMPUsageContext",
        "InitializeMPContinuousUsage",
        "InitializeL2ConnectorUsage",
        "InitializeL1Usage",
    )
    server = SimpleNamespace(**dict.fromkeys(names, "original"))
    monkeypatch.setitem(sys.modules, door._SERVER, server)
    monkeypatch.delenv("OTEL_USAGE_TAKE_OVER", raising=False)
    assert door.build_server_modules(None) == []
    assert set(vars(server).values()) == {"original"}
    monkeypatch.setenv("OTEL_USAGE_TAKE_OVER", "1")
    assert door.build_server_modules(None) == []
    assert "original" not in vars(server).values()
