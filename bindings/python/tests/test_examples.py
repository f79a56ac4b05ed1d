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
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_example_for_vllm_reports(python, server):
    source = (EXAMPLES / "vllm_report.py").read_text()
    process = python.start(source + "\nimport sys\nsys.stdin.read()\n")
    (message,) = server.wait(1)
    assert message["tensor_parallel_size"] == 8
    python.end(process)
