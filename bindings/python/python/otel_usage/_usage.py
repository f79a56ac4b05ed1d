"""The general API: one handle for one engine."""

from __future__ import annotations

import os

from otel_usage import _native, _process
from otel_usage._process import described, refused, tell

# `typing`, `json` and `logging` cost more than this package, in every process that imports it.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Any

#: The seconds that :meth:`Usage.flush` waits by default.
WAIT = 1.0


class Flush:
    """The state of the messages so far.

    ``state`` is ``settled`` (none waits), ``durable`` (what waits is on disk), ``memory`` (some are lost if the process
    dies now), or ``lost`` (some are lost for good, as :meth:`Usage.stats` tells). ``messages`` says how many wait in
    memory, or are lost.
    """

    __slots__ = ("messages", "state")

    def __init__(self, state: str, messages: int) -> None:
        self.state = state
        self.messages = messages

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Flush) and (self.state, self.messages) == (other.state, other.messages)

    def __hash__(self) -> int:
        return hash((self.state, self.messages))

    def __repr__(self) -> str:
        return f"Flush({self.state!r}, {self.messages})"


class Usage:
    """The usage reporting of one engine.

    Parameters
    ----------
    contract:
        The contract of all that may be sent: the name of a built-in one (``"vllm/current"``), the text of a file, or a
        class that :func:`otel_usage.record` describes.
    version:
        The engine's version, as text. Default: unknown.
    accelerators:
        The accelerators as the engine's framework sees them: number of visible devices, name of the first, and its
        memory in bytes. Default: the driver is asked.
    attributes:
        Facts about the run that only the engine knows, by the names of the contract.
    server:
        Base URL of the usage server. Default: the contract's variable, then the operator's file, then the contract.
    file:
        Path of the file with a JSON object a line. Default: the contract's.
    consent:
        The engine's own switch. ``False`` stops everything. ``True`` does not overrule the operator.
    environment:
        The variables to obey. Default: ``os.environ``, as it is now.
    logger:
        A logger that the host has configured. It gets the notice as one line of level INFO, and each mistake in the
        operator's settings as a warning. Default: the logger ``otel_usage``.
    sample_data:
        Whether the data is made up, for an example or a test. Then it reaches servers on this machine only.

    Errors
    ------
    ``ValueError`` if the contract is unknown or contradicts itself, or a field has no classification; ``TypeError`` if an
    argument has another type. No later call raises: what cannot be recorded is left out, with a line at level DEBUG.

    Examples
    --------
    >>> usage = Usage("lmcache/1", version="0.5.6", consent=False)
    >>> usage.record("lmcache.engine", {"lmcache.chunk_size": 256})
    >>> usage.finish()
    """

    __slots__ = ("__weakref__", "_logger", "_native", "_record")

    def __init__(
        self,
        contract: str | type,
        *,
        version: str | None = None,
        accelerators: tuple[int, str, int] | None = None,
        attributes: Mapping[str, Any] | None = None,
        server: str | None = None,
        file: str | os.PathLike[str] | None = None,
        consent: bool | None = None,
        environment: Mapping[str, str] | None = None,
        logger: logging.Logger | None = None,
        sample_data: bool = False,
    ) -> None:
        self._record: str | None = None
        if not isinstance(contract, str):
            from otel_usage._contract import contract_of

            contract, self._record = contract_of(contract)
        self._logger = logger
        self._native = _native.Usage(
            contract,
            dict(os.environ if environment is None else environment),
            version=version,
            accelerators=accelerators,
            attributes=dict(attributes or {}),
            server=server,
            file=None if file is None else os.fspath(file),
            consent=consent,
            sample=sample_data,
        )
        tell(self._native, lambda: logger)

    @property
    def enabled(self) -> bool:
        """Whether collection is on in this process."""
        return self._native.enabled

    @property
    def instance_id(self) -> str:
        """The random identity of this process, a UUID. A forked child has another one."""
        return self._native.instance_id

    def record(self, kind: object, attributes: Mapping[str, Any] | None = None) -> None:
        """Record something that the engine says, at any time. It returns at once.

        ``kind`` is a kind of the contract with ``attributes`` by name, or an object of the class from which the contract
        was made. Attributes that the contract does not know do not leave, and :meth:`stats` counts them. Values are
        ``bool``, ``int``, ``float``, ``str``, and lists of ``int`` or ``str``; ``None`` is left out.
        """
        try:
            if not isinstance(kind, str):
                from otel_usage._contract import attributes_of

                kind, attributes = self._record or "", attributes_of(kind)
            self._native.record(kind, {} if attributes is None else dict(attributes))
        except Exception:
            refused("A record", self._logger)

    def heartbeat(self, values: Mapping[str, Any]) -> None:
        """Set the values that the next heartbeats carry, by the keys of that message. It sends nothing."""
        try:
            self._native.heartbeat(dict(values))
        except Exception:
            refused("A heartbeat", self._logger)

    def counter(self, attribute: str) -> Counter:
        """Return the counter of this attribute. It starts again at zero with every interval."""
        return Counter(self._native, attribute)

    def gauge(self, attribute: str) -> Gauge:
        """Return the gauge of this attribute, whose last value is sent at every interval."""
        return Gauge(self._native, attribute)

    def histogram(self, attribute: str) -> Histogram:
        """Return the histogram of this attribute. It starts again at zero with every interval."""
        return Histogram(self._native, attribute)

    def flush(self, seconds: float = WAIT) -> Flush:
        """Wait until every message so far is delivered, lost or on disk, at most ``seconds``.

        Handlers of signals run meanwhile, and what they raise ends the wait.
        """
        try:
            seconds = float(seconds)
        except Exception:
            refused("A time to wait", self._logger)
            seconds = 0.0
        return Flush(*_process.flush(self._native, seconds))

    def finish(self, wait: bool = True) -> None:
        """End the run, and wait for delivery at most 0.25 s. Without ``wait`` it returns at once."""
        self._native.finish(wait)

    def withdraw(self) -> None:
        """Withdraw consent for the rest of this process. Messages that wait are dropped."""
        self._native.withdraw()

    def preview(self, kind: str, attributes: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the messages that :meth:`record` would send from this machine now. Nothing is sent.

        It reads the machine on the calling thread, which takes milliseconds.
        """
        return _parsed(self._native.preview(kind, dict(attributes or {})))

    def status(self) -> dict[str, str]:
        """Return whether collection is on (``on``, ``local``, ``off``), and the switch that decided it."""
        collection, because = self._native.decision
        return {"contract": self._native.contract, "collection": collection, "because": because}

    def stats(self) -> dict[str, Any]:
        """Return the accounts so far: records made, lost by reason, and for each exporter the messages that it
        accepted, delivered, queued, keeps on disk and dropped by reason."""
        return self._native.stats()

    def __enter__(self) -> Usage:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.finish()

    def __repr__(self) -> str:
        return f"<Usage {described(self._native)}>"


class Counter:
    """A sum that starts again at zero with every interval."""

    __slots__ = ("_attribute", "_native")

    def __init__(self, native: _native.Usage, attribute: str) -> None:
        self._native, self._attribute = native, attribute

    def add(self, amount: int = 1) -> None:
        """Add ``amount``, which is not negative."""
        try:
            if amount > 0:
                self._native.count(self._attribute, amount)
        except Exception:
            refused(f"An amount of {self._attribute}")


class Gauge:
    """The last value that was set."""

    __slots__ = ("_attribute", "_native")

    def __init__(self, native: _native.Usage, attribute: str) -> None:
        self._native, self._attribute = native, attribute

    def set(self, value: int | None) -> None:
        """Set the value. ``None`` makes it unknown."""
        try:
            self._native.gauge(self._attribute, value)
        except Exception:
            refused(f"A value of {self._attribute}")


class Histogram:
    """Counts of samples by size."""

    __slots__ = ("_attribute", "_native")

    def __init__(self, native: _native.Usage, attribute: str) -> None:
        self._native, self._attribute = native, attribute

    def record(self, sample: float) -> None:
        """Add a sample, in the unit of the attribute."""
        try:
            self._native.sample(self._attribute, sample)
        except Exception:
            refused(f"A sample of {self._attribute}")


def is_enabled(contract: str = "vllm/current", environment: Mapping[str, str] | None = None) -> bool:
    """Return whether collection is on for a contract here and now."""
    return _native.decide(contract, dict(os.environ if environment is None else environment))[0] == "on"


def status(contract: str = "vllm/current") -> dict[str, Any]:
    """Return what an engine with this contract would do here: collection, reason, exporters, server, file, warnings."""
    return _native.inspect(contract, dict(os.environ))


def preview(contract: str, kind: str, attributes: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the messages that an engine with this contract would send from this machine. Nothing is sent."""
    native = _native.Usage(contract, dict(os.environ), consent=False)
    return _parsed(native.preview(kind, dict(attributes or {})))


def _parsed(messages: list[tuple[str, str]]) -> list[dict[str, Any]]:
    import json

    return [json.loads(body) for _, body in messages]
