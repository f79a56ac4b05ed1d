"""The reporting of one engine in one process, behind the shape of vLLM's module."""

from __future__ import annotations

import os
import sys

from otel_usage import _native
from otel_usage._declared import Declared, Undeclared, declared
from otel_usage._process import described, environment, tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Mapping
    from typing import Any


class Reporter:
    """Makes the native handle with the first report, because vLLM's children are forked before it.

    It takes no lock: a thread that does not exist in a forked child may have held it.
    """

    def __init__(
        self,
        name: str,
        contract: str | None = None,
        *,
        version: Callable[[], str | None],
        logger: Callable[[], logging.Logger],
        settings: Callable[[], str | None] = lambda: None,
    ) -> None:
        #: The contract's name, and the text of its file if it is not built in.
        self.name, self.contract = name, contract or name
        self.undeclared = Undeclared()
        self.runtime: dict[str, str | int | bool] = {}
        self._version, self._settings, self.logger = version, settings, logger
        self._declared: list[Declared] = []
        self._native: _native.Usage | None = None
        self._minted: tuple[int, str] | None = None

    @property
    def uuid(self) -> str:
        """The identity of this process. A forked child has another one."""
        if self._native is not None:
            return self._native.instance_id
        process = os.getpid()
        if self._minted is None or self._minted[0] != process:
            import uuid

            self._minted = process, str(uuid.uuid4())
        return self._minted[1]

    def describe(self) -> str:
        """Return the contract, whether collection is on, and where reports go or why they do not."""
        return f"{self.name}: nothing reported yet" if self._native is None else described(self._native)

    def is_on(self) -> bool:
        """Return whether anything may be collected here and now. An error means no."""
        try:
            return _native.decide(self.contract, environment())[0] != "off"
        except Exception:
            self.debug("Usage reporting is off, because its switches could not be read")
            return False

    def declare(self, message: str, name: str, ty: type, doc: str, kind: str) -> None:
        """Add a field to a message, before the first report."""
        field = declared(message, name, ty, doc, kind)
        if field in self._declared:
            return
        if self._native is not None:
            self.debug("The usage field %s was declared after the first report and is not sent", name)
            return
        self._declared.append(field)

    def set_runtime(self, key: str, value: str | int | bool) -> None:
        """Set a value of the next heartbeats."""
        try:
            self.runtime[key] = value
            if self._native is not None:
                self._drop(self._native.heartbeat(dict(self.runtime)))
        except Exception:
            self.debug("A value of the heartbeats could not be set")

    def report(self, architecture: str, context: object, extra: Mapping[str, Any] | None) -> None:
        """Report on this thread, which takes less than a millisecond. On a TPU a thread of its own does it, because the
        functions that know the device may ask the network."""
        from otel_usage import _facts

        try:
            if self._native is None and _facts.is_tpu():
                import threading

                call = (architecture, context, extra)
                threading.Thread(target=self._report, args=call, name="otel-usage-tpu", daemon=True).start()
            else:
                self._report(architecture, context, extra)
        except Exception:
            self.debug("Usage could not be reported")

    def _report(self, architecture: str, context: object, extra: Mapping[str, Any] | None) -> None:
        try:
            native = self._native or self._start()
            if native.enabled:
                values = {
                    "model_architecture": architecture,
                    "context": getattr(context, "value", context),
                    "env_var_json": self._settings(),
                    **(extra or {}),
                }
                unknown = native.send("report", values)
                if self.runtime:
                    unknown += native.heartbeat(dict(self.runtime))
                self._drop(unknown)
            tell(native, self.logger)
        except Exception:
            self.debug("Usage could not be reported")

    def _start(self) -> _native.Usage:
        from otel_usage import _facts

        try:
            facts = _facts.read()
        except Exception:
            self.debug("The framework does not tell its accelerators")
            facts = _facts.Facts()
        made = _native.Usage(
            self.contract,
            environment(),
            version=self._version(),
            accelerators=facts.accelerators,
            attributes=facts.attributes,
            instance_id=self.uuid,
            declared=self._declared,
        )
        # Two threads may report at once. Both then use the handle that came first.
        self._native = self._native or made
        return self._native

    def _drop(self, unknown: list[str]) -> None:
        for key in unknown:
            if self.undeclared.is_new(key):
                self.debug("The usage field %s is not sent, because nobody declared it", key)

    def debug(self, text: str, *values: object) -> None:
        """Log a line, with the error that is being handled. No error of the logger reaches the engine."""
        try:
            self.logger().debug(text, *values, exc_info=sys.exc_info()[0] is not None)
        except Exception:
            return


def installed(package: str) -> str | None:
    """Return the version of an installed package."""
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
