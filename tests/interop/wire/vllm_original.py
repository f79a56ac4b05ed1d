"""vLLM's own start report and heartbeats, for one scenario.

In: the wheel, a scenario, the URL of a server on this machine. Out: what vLLM posts, and on standard
output what it cost. `report_usage_stats` and `UsageMessage` run as they are published.
"""

import os
import sys
import threading
from types import SimpleNamespace

import standins

MODULES = [
    "vllm._version",
    "vllm.envs",
    "vllm.usage.usage_lib",
    "vllm.v1.utils",
    "vllm.version",
]


def platform(device):
    """torch and `vllm.platforms` on a machine with this device. `None`: without one."""
    kind = device.kind if device else "cpu"

    def is_kind(*kinds):
        return lambda: kind in kinds

    standins.given(
        "vllm.platforms",
        current_platform=SimpleNamespace(
            is_cuda=is_kind("cuda"),
            is_cuda_alike=is_kind("cuda", "rocm"),
            is_xpu=is_kind("xpu"),
            is_tpu=is_kind("tpu"),
            device_count=lambda: device.count,
        ),
    )
    if device is None:
        return
    standins.given(
        "vllm.utils.platform_utils",
        cuda_get_device_properties=lambda _index, names: tuple(
            {"name": device.name, "total_memory": device.memory}[name] for name in names
        ),
    )
    runtime = getattr(device, "runtime", None)
    properties = SimpleNamespace(total_memory=device.memory)
    standins.given(
        "torch",
        version=SimpleNamespace(cuda=runtime, xpu=runtime),
        xpu=SimpleNamespace(
            device_count=lambda: device.count,
            get_device_name=lambda _index: device.name,
            get_device_properties=lambda _index: properties,
        ),
    )
    if kind == "tpu":
        standins.given(
            "tpu_inference",
            tpu_info=SimpleNamespace(
                get_num_chips=lambda: device.count, get_tpu_type=lambda: device.name
            ),
            utils=SimpleNamespace(get_device_hbm_limit=lambda: device.memory),
        )


class Clock:
    """`time` as the heartbeat sees it: ten minutes are over at once, as often as there are beats."""

    def __init__(self, library, beats):
        self.library, self.beats, self.sent = library, iter(beats), threading.Event()

    def sleep(self, seconds):
        """Sets the values of the next beat, or ends the thread."""
        assert seconds == 600, seconds
        beat = next(self.beats, None)
        if beat is None:
            self.sent.set()
            raise SystemExit
        for key, value in vars(beat).items():
            self.library.set_runtime_usage_data(key, value)


def main():
    wheel, path, url = sys.argv[1:]
    standins.loopback_only(url)
    os.environ["VLLM_USAGE_STATS_SERVER"] = url
    wanted = standins.load(path)
    standins.Originals(wheel, MODULES)
    platform(wanted.accelerator)
    standins.given(
        "vllm.model_executor.model_loader",
        get_architecture_class_name=lambda config: config.architectures[0],
    )

    import vllm.usage.usage_lib as usage_lib
    from vllm.v1.utils import report_usage_stats

    config = wanted.vllm_config
    model = config.model_config
    model.using_transformers_backend = lambda: hasattr(model, "_model_info")
    model.get_num_experts = lambda: model.num_experts
    beats = wanted.heartbeats if standins.LIFE == "whole" else []
    usage_lib.time = clock = Clock(usage_lib, beats)

    cost = standins.Cost()
    report_usage_stats(config, usage_lib.UsageContext[wanted.usage_context])
    cost.returned()
    standins.until_sent(clock.sent)
    cost.tell()


if __name__ == "__main__":
    main()
