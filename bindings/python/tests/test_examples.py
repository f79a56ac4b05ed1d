"""The scripts of examples/python, as a reader runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples/python"


@pytest.mark.parametrize("name", ["vllm_report", "lmcache_report", "own_engine", "like_vllm", "opentelemetry_spans"])
def test_each_example_runs_and_says_nothing_wrong(python, name):
    if name == "opentelemetry_spans":
        pytest.importorskip("opentelemetry.sdk.trace")
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py"],
        env=python.variables,
        capture_output=True,
        text=True,
        timeout=python.patience,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "messages", "key", "value"),
    [("vllm_report", 1, "tensor_parallel_size", 8), ("lmcache_report", 3, "chunksize", 256)],
)
def test_the_example_for_an_engine_reports(python, server, name, messages, key, value):
    source = (EXAMPLES / f"{name}.py").read_text()
    process = python.start(source + "\nimport sys\nsys.stdin.read()\n")
    found = server.wait(messages)
    assert [message[key] for message in found if key in message] == [value]
    python.end(process)
