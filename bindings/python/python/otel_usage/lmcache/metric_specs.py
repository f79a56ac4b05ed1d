"""The counters of a server, as pairs of an event and a member of the message."""

from __future__ import annotations

from otel_usage.lmcache._host import host
from otel_usage.lmcache._members import members

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


@members(frozen=True)
class MetricSpec:
    """A number of the message and where it comes from."""

    #: LMCache's event.
    event_type: Any
    #: Member of :class:`ContinuousContextMessage`.
    field: str
    #: From an event to a sample. ``None`` skips the event.
    extract: Callable[[Any], int | float | None]
    #: From the samples of an interval, of which there may be none, to the number.
    reduce: Callable[[Sequence[int | float]], int | float]


def default_metric_specs(chunk_size: int) -> list[MetricSpec]:
    """Return what LMCache counts: tokens retrieved and stored, and the bytes stored."""
    # Only a server has these events.
    events = host("v1.mp_observability.event").EventType

    def chunks(key: str) -> Callable[[Any], int]:
        return lambda event: int(event.metadata[key]) * chunk_size

    return [
        MetricSpec(events.MP_RETRIEVE_END, "interval_num_hit_tokens", chunks("retrieved_count"), sum),
        MetricSpec(events.MP_STORE_END, "interval_num_stored_tokens", chunks("stored_count"), sum),
        MetricSpec(
            events.MP_STORE_END,
            "interval_stored_kv_size",
            lambda event: int(event.metadata["total_bytes"]),
            sum,
        ),
    ]
