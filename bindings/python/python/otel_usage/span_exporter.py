"""A ``SpanExporter`` for engines that already use OpenTelemetry's SDK for Python.

``OTEL_TRACES_EXPORTER=otel_usage`` chooses it. Spans that are records of the contract become usage messages; all others
are left alone, so that it may stand beside the engine's own exporter.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_usage import _native
from otel_usage._process import environment, flush, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

#: The variable that names the contract: a built-in one, or the path of a contract file.
VARIABLE = "OTEL_USAGE_CONTRACT"


class UsageSpanExporter(SpanExporter):
    """Hands records on to the native thread, whatever thread calls it.

    Parameters
    ----------
    contract:
        The name of a built-in contract, or the text of a contract file. Default: ``OTEL_USAGE_CONTRACT``, else
        ``vllm/current``.
    version:
        The engine's version. Default: unknown.

    Errors
    ------
    ``ValueError`` if the contract is unknown, and ``OSError`` if its file cannot be read.
    """

    def __init__(self, contract: str | None = None, *, version: str | None = None) -> None:
        contract = contract or _named()
        self._kinds = frozenset(_native.kinds(contract))
        self._native = _native.Usage(contract, environment(), version=version)
        tell(self._native, lambda: None)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Record the spans that the contract knows. It returns at once, and never fails."""
        for span in spans:
            if span.name in self._kinds:
                attributes: dict[str, Any] = dict(span.attributes or {})
                self._native.record(span.name, attributes)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """End the run, and wait for delivery at most 0.25 s."""
        self._native.finish()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Wait until every message so far is delivered, lost or on disk. ``False``: some still wait."""
        state, _ = flush(self._native, timeout_millis / 1000)
        return state in ("settled", "durable")


def _named() -> str:
    named = os.environ.get(VARIABLE, "").strip() or "vllm/current"
    if not named.endswith(".json"):
        return named
    with open(named, encoding="utf-8") as file:
        return file.read()
