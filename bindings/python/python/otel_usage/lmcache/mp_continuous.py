"""The messages of a server at intervals: how much went through the cache."""

from __future__ import annotations

from otel_usage.lmcache._log import Log
from otel_usage.lmcache.flush import Reporter
from otel_usage.lmcache.guard import swallow_telemetry_errors
from otel_usage.lmcache.identity import get_usage_identity
from otel_usage.lmcache.messages import ContinuousContextMessage, DeploymentMode
from otel_usage.lmcache.metric_specs import MetricSpec, default_metric_specs
from otel_usage.lmcache.transport import DEFAULT_SENDER, UsageMessageSender, deliver, may_report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

logger = Log("mp_continuous")

#: The reporter fills the other two itself.
_MEMBERS = ("interval_num_hit_tokens", "interval_num_stored_tokens", "interval_stored_kv_size")


class MPContinuousUsageReporter(Reporter):
    """Keeps the samples of an interval and reports what becomes of them. Idle intervals are reported too."""

    _name = "lmcache-usage-continuous"

    def __init__(
        self,
        chunk_size: int,
        sender: UsageMessageSender | None = None,
        specs: list[MetricSpec] | None = None,
        max_buffered_samples: int = 65536,
    ) -> None:
        """``max_buffered_samples`` of one member make the interval end early. Beyond twice as many, samples are lost.

        A ``ValueError`` tells that ``specs`` do not name each member of the message once, or that there is no room for
        a sample.
        """
        if max_buffered_samples <= 0:
            raise ValueError(f"max_buffered_samples must be positive, got {max_buffered_samples}")
        self._own_specs = specs is None
        self._specs = default_metric_specs(chunk_size) if specs is None else specs
        named = sorted(spec.field for spec in self._specs)
        if named != list(_MEMBERS):
            raise ValueError(f"specs must name each of {', '.join(_MEMBERS)} exactly once, got {', '.join(named)}")
        self._most = max_buffered_samples
        self._buffers = self._empty()
        super().__init__(sender)

    def update_chunk_size(self, chunk_size: int) -> None:
        """Count tokens by another size of a chunk from now on."""
        if self._own_specs:
            self._specs = default_metric_specs(chunk_size)

    def get_subscriptions(self) -> dict[Any, Callable[[Any], None]]:
        return {spec.event_type: self._callback(spec.event_type) for spec in self._specs}

    @swallow_telemetry_errors
    def flush(self) -> None:
        """Report the interval so far. Its samples are dropped if reporting is off."""
        with self._lock:
            buffers, self._buffers = self._buffers, self._empty()
            sequence, _, uptime = self._next()
        if not may_report(self._sender):
            return
        numbers = {spec.field: int(spec.reduce(buffers[spec.field])) for spec in self._specs}
        message = ContinuousContextMessage(**numbers, sequence_number=sequence, uptime_seconds=uptime)
        deliver(self._sender, message, get_usage_identity(), DeploymentMode.MP_SERVER)

    def _empty(self) -> dict[str, list[int | float]]:
        return {member: [] for member in _MEMBERS}

    def _callback(self, event_type: Any) -> Callable[[Any], None]:
        @swallow_telemetry_errors
        def on_event(event: Any) -> None:
            full = False
            with self._lock:
                for spec in self._specs:
                    sample = spec.extract(event) if spec.event_type == event_type else None
                    if sample is not None:
                        buffer = self._buffers[spec.field]
                        # A forked child has no thread that empties it, and a sender of the caller's may hang.
                        if len(buffer) < 2 * self._most:
                            buffer.append(sample)
                        full = full or len(buffer) >= self._most
            if full:
                self._flush_thread.wake()

        return on_event


@swallow_telemetry_errors
def InitializeMPContinuousUsage(
    event_bus: Any, chunk_size: int, sender: UsageMessageSender | None = None
) -> MPContinuousUsageReporter | None:
    """Report a server's cache at intervals. ``None``: reporting is off, or it failed."""
    if not may_report(DEFAULT_SENDER if sender is None else sender):
        return None
    logger.info("Initializing MP continuous usage reporting.")
    reporter = MPContinuousUsageReporter(chunk_size, sender)
    event_bus.register_subscriber(reporter)
    return reporter
