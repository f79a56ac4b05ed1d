"""The messages at intervals of an engine with LMCache. Its statistics logger calls, so there is no thread here."""

from __future__ import annotations

import os
import time

from otel_usage.lmcache._log import Log
from otel_usage.lmcache.guard import swallow_telemetry_errors
from otel_usage.lmcache.identity import get_usage_identity
from otel_usage.lmcache.messages import CacheLifespanMessage, ContinuousContextMessage, DeploymentMode
from otel_usage.lmcache.transport import DEFAULT_SENDER, UsageMessageSender, deliver, may_report, usage_server_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, ClassVar

logger = Log("continuous")

_INTERVAL = 600
#: Most samples of an interval that are kept as they are. The others are counted at once.
_SAMPLES = 65536
_BUCKETS = (0, 1, 5, 10, 20, 40, 60, 80, 100, 250, 500, 750, 1000, 2500, 5000)


class ContinuousUsageContext:
    """Adds up what the engine's statistics say, and reports the sums when an interval is over."""

    _instance: ClassVar[ContinuousUsageContext | None] = None

    def __init__(
        self,
        metadata: Any,
        sender: UsageMessageSender | None = None,
        mode: DeploymentMode = DeploymentMode.SINGLE_PROCESS,
    ) -> None:
        """Never raises, because the engine makes one unguarded while it starts."""
        self.cache_lifespan_buckets: list[float] = list(_BUCKETS)
        self.metadata = metadata
        self.cache_usage_url = usage_server_url(ContinuousContextMessage.ENDPOINT)
        self.cache_lifespan_url = usage_server_url(CacheLifespanMessage.ENDPOINT)
        self.min_logging_interval = _interval()
        #: Time of the last report. Negative: there was none, so the next call sends.
        self.last_logged_ts: float = -1
        self.interval_num_hit_tokens = 0
        self.interval_num_stored_tokens = 0
        self.kv_sz_per_token_bytes = _bytes_of_a_token(metadata)
        self.cache_lifespan_data: list[float] = []
        #: Counts of the samples of this interval that are not kept any more.
        self._counted: dict[float, int] = {}
        self._sender = DEFAULT_SENDER if sender is None else sender
        self._mode = mode
        self._sequence_number = 0
        self._start_monotonic = time.monotonic()

    @staticmethod
    def GetOrCreate(metadata: Any) -> ContinuousUsageContext:
        """Return this process's instance, which the first call makes. It never raises."""
        context = ContinuousUsageContext._instance
        if context is None:
            context = ContinuousUsageContext._instance = ContinuousUsageContext(metadata)
        try:
            same = bool(context.metadata == metadata)
        except Exception:
            same = context.metadata is metadata
        if not same:
            logger.error("The continuous usage context of this process was made with other metadata, and keeps it.")
        return context

    @swallow_telemetry_errors
    def incr_or_send_stats(self, stats: Any) -> None:
        """Add statistics, and report if the interval is over."""
        if not may_report(self._sender):
            return
        self.cache_lifespan_data.extend(stats.interval_request_cache_lifespan)
        self.interval_num_hit_tokens += stats.interval_hit_tokens
        self.interval_num_stored_tokens += stats.interval_stored_tokens
        if len(self.cache_lifespan_data) > _SAMPLES:
            samples, self.cache_lifespan_data = self.cache_lifespan_data, []
            self._counted = self._histogram(samples, self._counted)
        now = time.monotonic()
        if self.last_logged_ts < 0 or now - self.last_logged_ts >= self.min_logging_interval:
            # Also if the sender fails: the values are lost, as a gap in the numbers tells.
            self.last_logged_ts = now
            self.send_caching_message()

    def send_caching_message(self) -> None:
        """Report the sums and begin the next interval."""
        self._sequence_number += 1
        uptime = time.monotonic() - self._start_monotonic
        hit, stored = self.interval_num_hit_tokens, self.interval_num_stored_tokens
        lifespans, self.cache_lifespan_data = self.cache_lifespan_data, []
        counted, self._counted = self._counted, {}
        self.interval_num_hit_tokens = self.interval_num_stored_tokens = 0
        identity = get_usage_identity()
        usage = ContinuousContextMessage(
            interval_num_stored_tokens=int(stored),
            interval_num_hit_tokens=int(hit),
            interval_stored_kv_size=int(self.kv_sz_per_token_bytes * stored),
            sequence_number=self._sequence_number,
            uptime_seconds=uptime,
        )
        deliver(self._sender, usage, identity, self._mode, self.cache_usage_url)
        lifespan = CacheLifespanMessage(
            cache_lifespan_histogram=self._histogram(lifespans, counted),
            sequence_number=self._sequence_number,
            uptime_seconds=uptime,
        )
        deliver(self._sender, lifespan, identity, self._mode, self.cache_lifespan_url)

    def _histogram(self, samples: list[float], counted: dict[float, int]) -> dict[float, int]:
        """Return the counts of these samples and of those that were counted before."""
        counts = self.list_to_histogram(samples, self.cache_lifespan_buckets)
        return {bound: count + counted.get(bound, 0) for bound, count in counts.items()}

    def list_to_histogram(self, data: Sequence[float], buckets: Sequence[float]) -> dict[float, int]:
        """Return the number of samples by bound.

        As upstream: the count under a bound is of the samples from the bound before it to below this one (to this one
        for the last), so that the first is always 0; samples beyond the bounds are left out.
        """
        from bisect import bisect_right

        counts = [0] * len(buckets)
        for sample in data:
            if buckets[0] <= sample <= buckets[-1]:
                counts[min(bisect_right(buckets, sample), len(buckets) - 1)] += 1
        return dict(zip(buckets, counts))


def _interval() -> int:
    try:
        return int(os.environ.get("LMCACHE_USAGE_TRACK_INTERVAL", _INTERVAL))
    except ValueError:
        logger.debug("Invalid LMCACHE_USAGE_TRACK_INTERVAL", exc_info=True)
        return _INTERVAL


def _bytes_of_a_token(metadata: Any) -> int:
    """Return what a token takes in the cache. 0: it cannot be told."""
    try:
        elements = 1
        for length in metadata.kv_shape:
            elements *= length
        return int(elements * metadata.kv_dtype.itemsize / metadata.kv_shape[2])
    except Exception:
        logger.debug("Cannot derive kv bytes per token", exc_info=True)
        return 0
