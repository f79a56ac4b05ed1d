"""Anonymous usage telemetry for inference engines, as ordinary OpenTelemetry.

An engine makes one :class:`Usage`, records what it runs with, and goes on. All work happens on a native thread, which
starts with the first record and never runs Python code. No call blocks, raises because of a network, or writes to
stdout or stderr.

``otel_usage.vllm`` and ``otel_usage.lmcache`` have the surfaces of the modules that these engines bring along.
"""

# `typing` costs more than this package, in every process that imports it.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_usage._contract import private, record, sent
    from otel_usage._native import __version__
    from otel_usage._usage import Counter, Flush, Gauge, Histogram, Usage, is_enabled, preview, status

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
    # Everything is imported when it is asked for, because the doors that act only on demand import this package in every
    # process of an engine.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    place = {"__version__": "_native", "private": "_contract", "record": "_contract", "sent": "_contract"}
    value: object = getattr(import_module(f"otel_usage.{place.get(name, '_usage')}"), name)
    globals()[name] = value
    return value
