"""vLLM's own code with only the import replaced, for one scenario of tests/interop/wire.

In: the wheel of vLLM, a scenario, the URL of a server on this machine. Out: what our module posts.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).parents[3] / "tests/interop/wire"))
import standins  # noqa: E402
import vllm_original  # noqa: E402

# Without the module whose place ours takes, and without everything that it imports.
MODULES = [name for name in vllm_original.MODULES if name != "vllm.usage.usage_lib"]


def devices(device):
    """What an engine that has initialised its devices has loaded beside the platform."""
    if device is None:
        return
    properties = SimpleNamespace(name=device.name, total_memory=device.memory)
    known = SimpleNamespace(
        is_initialized=lambda: True, device_count=lambda: device.count, get_device_properties=lambda _index: properties
    )
    standins.given("torch", **{"xpu" if device.kind == "xpu" else "cuda": known})


def main():
    wheel, path, url = sys.argv[1:]
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
    report_usage_stats(config, otel_usage.vllm.UsageContext[wanted.usage_context])
    sys.stdin.read()


if __name__ == "__main__":
    main()
