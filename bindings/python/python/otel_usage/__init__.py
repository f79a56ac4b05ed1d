"""Anonymous usage telemetry for inference engines, as ordinary OpenTelemetry.

An engine makes one :class:`Usage`, records what it runs with, and goes on. All work happens on a native thread, which
starts with the first record and never runs Python code. No call blocks, raises because of a network, or writes to
stdout or stderr.

``otel_usage.vllm`` and ``otel_usage.lmcache`` have the surfaces of the modules that these engines bring along.
"""

from otel_usage._native import __version__
from otel_usage._usage import Counter, Flush, Gauge, Histogram, Usage, is_enabled, preview, status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_usage._contract import private, record, sent

__all__ = [
    "Counter",
    "Flush",
    "Gauge",
    "Histogram",
    "Usage",
    "__version__",
    "is_enabled",
    "preview",
    "private",
    "record",
    "sent",
    "status",
]


def __getattr__(name: str) -> object:
    # What only few need is imported when it is asked for, because an import counts in every process of an engine.
    if name in ("private", "record", "sent"):
        from otel_usage import _contract

        value: object = getattr(_contract, name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
