"""vLLM's released module and ours, over the same stand-ins and configurations, field by field."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WIRE = Path(__file__).parents[3] / "tests/interop/wire"
#: Different in each process.
RANDOM = {"uuid", "log_time"}


@pytest.fixture(scope="session")
def wheel():
    for package in ("cpuinfo", "numpy", "psutil", "requests"):
        pytest.importorskip(package, reason="the original needs tests/interop/requirements.txt")
    if sys.version_info < (3, 11):
        pytest.skip("the original needs Python 3.11")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    found = sorted((cache / "otel-usage/wheels").glob("vllm-0.33.0-*.whl"))
    if not found:
        pytest.skip("the wheel of vLLM is not in the cache: cargo test -p otel-usage --test interop puts it there")
    return found[0]


def play(server, script, wheel, scenario, home, variables, patience):
    """Return the message of the start."""
    home.mkdir(exist_ok=True)
    path = home / "scenario.json"
    path.write_text(json.dumps(scenario))
    more = {"HOME": str(home), "ENGINE_LIFE": "start", **scenario["environment"]}
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-B", script, wheel, path, server.url],
        env={**variables, **more},
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
    )
    try:
        (message,) = server.wait(1)
        _, errors = process.communicate("", patience)
        assert process.returncode == 0, errors
    finally:
        process.kill()
    file = home / ".config/vllm/usage_stats.json"
    assert json.loads(file.read_text()) == message
    others = {str(each.relative_to(home)) for each in home.rglob("*") if each.is_file()}
    assert others == {"scenario.json", ".config/vllm/usage_stats.json"}
    return message


def compare(servers, wheel, scenario, tmp_path, variables, patience):
    theirs = play(servers(), WIRE / "vllm_original.py", wheel, scenario, tmp_path / "theirs", variables, patience)
    ours = play(servers(), WIRE / "vllm_package.py", wheel, scenario, tmp_path / "ours", variables, patience)
    assert list(ours) == list(theirs)
    different = {key: (theirs[key], ours[key]) for key in theirs if theirs[key] != ours[key] and key not in RANDOM}
    assert different == {}
    for key in RANDOM:
        assert type(ours[key]) is type(theirs[key]) and len(str(ours[key])) == len(str(theirs[key]))


def scenario(name):
    return json.loads((WIRE / f"scenarios/vllm-{name}.json").read_text())


@pytest.mark.parametrize("name", ["cpu", "cuda", "rocm", "tpu", "xpu"])
def test_a_report_equals_that_of_the_original(servers, wheel, tmp_path, variables, patience, name):
    compare(servers, wheel, scenario(name), tmp_path, variables, patience)


def odd(name):
    """Return a configuration that few engines have."""
    made = copy.deepcopy(scenario("cuda"))
    made["heartbeats"] = []
    config = made["vllm_config"]
    if name == "settings":
        made["environment"] = {
            "VLLM_USE_MODELSCOPE": " TRUE ",
            "VLLM_USE_FLASHINFER_SAMPLER": "0",
            "VLLM_PP_LAYER_PARTITION": "",
            "VLLM_USE_TRITON_AWQ": "2",
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "VLLM_USAGE_SOURCE": "",
            "RUNPOD_DC_ID": "EU-1",
        }
    elif name == "wrapped":
        config["model_config"]["_model_info"] = {"architecture": "TransformersForCausalLM"}
        config["model_config"]["architectures"] = ["Ünïcode-日本"]
    elif name == "numbers":
        config["cache_config"]["gpu_memory_utilization"] = 1
        config["cache_config"]["kv_cache_memory_bytes"] = 2**62
        config["model_config"]["max_model_len"] = -1
        config["parallel_config"]["eplb_config"]["num_redundant_experts"] = 2**40
    elif name == "absent":
        config["cache_config"]["enable_prefix_caching"] = None
        config["model_config"]["max_model_len"] = None
        config["scheduler_config"] = {"max_num_seqs": None, "max_num_batched_tokens": None}
        config["parallel_config"]["all2all_backend"] = None
        config["model_config"]["dtype"] = None
    return made


@pytest.mark.parametrize("name", ["settings", "wrapped", "numbers", "absent"])
def test_odd_configurations_equal_those_of_the_original(servers, wheel, tmp_path, variables, patience, name):
    compare(servers, wheel, odd(name), tmp_path, variables, patience)
