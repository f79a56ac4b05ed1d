"""Facts about accelerators that only the engine's framework knows, from modules that are loaded anyway.

Nothing here imports torch or a platform of vLLM, starts a process, or asks a driver that nobody has initialised: a
fork after that would leave the child without its devices. Where torch knows nothing, the native part asks the driver
on its own thread.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Facts:
    """Accelerators as the framework sees them."""

    __slots__ = ("accelerators", "attributes")

    def __init__(
        self, accelerators: tuple[int, str, int] | None = None, attributes: dict[str, str] | None = None
    ) -> None:
        #: Number of devices, name of the first, and its memory in bytes. ``None``: the driver is asked.
        self.accelerators = accelerators
        #: Version of the runtime by the names of the contract.
        self.attributes = attributes or {}


def platform() -> Any:
    """Return vLLM's platform if vLLM has found it, without making vLLM look for it."""
    found = vars(sys.modules.get("vllm.platforms", sys))
    return found.get("_current_platform") or found.get("current_platform")


def is_tpu() -> bool:
    """Return whether the facts come from ``tpu_inference``, whose functions may ask the network."""
    known = platform()
    return known is not None and bool(known.is_tpu())


def read() -> Facts:
    """Return what is known, within microseconds, except on a TPU."""
    known = platform()
    if known is not None and known.is_tpu():
        return _tpu()
    torch = sys.modules.get("torch")
    if torch is None:
        return Facts()
    cuda, xpu = getattr(torch, "cuda", None), getattr(torch, "xpu", None)
    version = getattr(torch, "version", None)
    if known.is_xpu() if known is not None else _initialised(xpu):
        return Facts(_devices(xpu), _runtime("vllm.xpu.runtime", getattr(version, "xpu", None)))
    if known.is_cuda_alike() if known is not None else _initialised(cuda):
        is_cuda = known.is_cuda() if known is not None else True
        runtime = getattr(version, "cuda", None) if is_cuda else None
        return Facts(_devices(cuda), _runtime("vllm.cuda.runtime", runtime))
    return Facts()


def _initialised(devices: Any) -> bool:
    ask: Callable[[], bool] | None = getattr(devices, "is_initialized", None)
    return ask is not None and bool(ask())


def _devices(devices: Any) -> tuple[int, str, int] | None:
    """Ask ``torch.cuda`` or ``torch.xpu`` about its devices, if it is initialised."""
    if not _initialised(devices):
        return None
    count = int(devices.device_count())
    if count < 1:
        return None
    first = devices.get_device_properties(0)
    return count, str(first.name), int(first.total_memory)


def _runtime(attribute: str, version: object) -> dict[str, str]:
    return {} if version is None else {attribute: str(version)}


def _tpu() -> Facts:
    library = sys.modules.get("tpu_inference")
    if library is None:
        return Facts()
    info, utils = library.tpu_info, library.utils
    devices = (int(info.get_num_chips()), str(info.get_tpu_type()), int(utils.get_device_hbm_limit()))
    return Facts(devices, {"vllm.cuda.runtime": "tpu_inference"})
