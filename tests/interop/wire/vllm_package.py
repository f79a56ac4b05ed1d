"""vLLM's own code with the Python package in the place of its usage module, for one scenario.

In: the wheel of vLLM, a scenario, the URL of a server on this machine. Out: what the package posts, and on standard
output what it cost.
"""

import os
import sys
import time
from types import SimpleNamespace

import standins
import vllm_original

# Without the module whose place ours takes, and without everything that it imports.
MODULES = [name for name in vllm_original.MODULES if name != "vllm.usage.usage_lib"]

#: Where vLLM reports, as its contract says.
OPERATION = {
    "server": None,
    "server_variable": "VLLM_USAGE_STATS_SERVER",
    "switches": [],
    "notice_url": None,
    "directory": ("vllm", "VLLM_CONFIG_ROOT"),
    "local_file": "usage_stats.json",
}


def devices(device):
    """Modules that an engine with initialised devices has loaded beside the platform."""
    if device is None:
        return
    properties = SimpleNamespace(name=device.name, total_memory=device.memory)
    known = SimpleNamespace(
        is_initialized=lambda: True, device_count=lambda: device.count, get_device_properties=lambda _index: properties
    )
    standins.given("torch", **{"xpu" if device.kind == "xpu" else "cuda": known})


def hurry(reporter, values):
    """Make the heartbeats come every two seconds, and declare what they carry."""
    from otel_usage import _native

    text = _native.like_contract("vllm/current", "vllm/current", "vllm", OPERATION)
    reporter.contract = text.replace('"seconds": 600', '"seconds": 2').replace('"seconds":600', '"seconds":2')
    assert reporter.contract != text
    for name, value in values.items():
        reporter.declare("heartbeat", name, type(value), "A value of the scenario.", "workload")


def beats(reporter, wanted):
    """Set the values of each heartbeat as soon as the message before it is delivered."""
    for delivered, beat in enumerate(wanted, 1):
        until_delivered(reporter, delivered)
        for name, value in vars(beat).items():
            reporter.set_runtime(name, value)
    until_delivered(reporter, len(wanted) + 1)


def until_delivered(reporter, count):
    while reporter._native.stats()["exporters"]["server"]["delivered"] < count:
        time.sleep(0.01)


def main():
    wheel, path, url = sys.argv[1:]
    standins.loaded_by_engines()
    standins.loopback_only(url)
    os.environ["VLLM_USAGE_STATS_SERVER"] = url
    wanted = standins.load(path)
    standins.Originals(wheel, MODULES)
    vllm_original.platform(wanted.accelerator)
    devices(wanted.accelerator)
    standins.given(
        "vllm.model_executor.model_loader", get_architecture_class_name=lambda config: config.architectures[0]
    )
    import vllm.envs  # noqa: F401
    import vllm.version  # noqa: F401

    import otel_usage.vllm

    sys.modules["vllm.usage.usage_lib"] = otel_usage.vllm
    from vllm.v1.utils import report_usage_stats

    config = wanted.vllm_config
    model = config.model_config
    model.using_transformers_backend = lambda: hasattr(model, "_model_info")
    model.get_num_experts = lambda: model.num_experts
    reporter = otel_usage.vllm.usage_message._reporter
    heartbeats = wanted.heartbeats if standins.LIFE == "whole" else []
    if heartbeats:
        hurry(reporter, {name: value for beat in heartbeats for name, value in vars(beat).items()})

    cost = standins.Cost()
    report_usage_stats(config, otel_usage.vllm.UsageContext[wanted.usage_context])
    cost.returned()
    if standins.LIFE == "cut":
        sys.stdin.read()
        return
    while reporter._native is None or reporter._native.stats()["recorded"] == 0:
        # On a TPU another thread reports.
        time.sleep(0.001)
    reporter._native.flush(60)
    beats(reporter, heartbeats)
    cost.tell()


if __name__ == "__main__":
    main()
