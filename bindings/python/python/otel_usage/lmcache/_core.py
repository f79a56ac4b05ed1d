"""The handles of the native part: one for each deployment mode of this process, as long as nothing changes.

LMCache reads its variables at each call. A handle reads them once, so another one takes its place when one of them has
changed, and in a forked child.
"""

from __future__ import annotations

import os
import sys

from otel_usage import _native, _process
from otel_usage.lmcache import _declare
from otel_usage.lmcache._log import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

CONTRACT = "lmcache/1"

logger = Log("context")

#: Beginnings of the names of the variables on which consent and destinations depend.
_RELEVANT = (
    "ALL_PROXY",
    "BUILDKITE",
    "CI",
    "DO_NOT_TRACK",
    "GITHUB_ACTIONS",
    "GITLAB_CI",
    "HOME",
    "HTTP",
    "JENKINS_URL",
    "LMCACHE_",
    "NO_PROXY",
    "OTEL_",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT",
    "XDG_",
)

#: Handles by mode and local log, with what they depend on.
_handles: dict[tuple[str, str | None], tuple[object, _native.Usage]] = {}
#: Lines that wait for a report by our own sender, on whose thread they are logged.
_waiting: list[tuple[str, str]] = []
#: Lines that this process has logged already.
_told: set[str] = set()


def environment() -> dict[str, str]:
    """Return the variables as they are now, for the native part, which never reads them itself."""
    # The native part looks for the installed package below this folder.
    return {"VIRTUAL_ENV": sys.prefix, **_process.environment()}


def collection() -> str:
    """Return ``on``, ``local`` (only this machine may see it) or ``off``."""
    return _native.decide(CONTRACT, environment())[0]


def usage(mode: str, local_log: str | None = None) -> _native.Usage:
    """Return the handle of this process for a deployment mode."""
    from otel_usage.lmcache.identity import get_usage_identity

    identity = get_usage_identity()
    variables = environment()
    relevant = {name: value for name, value in variables.items() if name.upper().startswith(_RELEVANT)}
    depends = (os.getpid(), identity.session_id, relevant)
    key = (mode, local_log)
    found = _handles.get(key)
    if found is not None and found[0] == depends:
        return found[1]
    native = _native.Usage(
        CONTRACT,
        variables,
        version=_version(),
        accelerators=_accelerators(),
        attributes={"lmcache.deployment_mode": mode},
        local_log=local_log,
        instance_id=identity.session_id,
        recorded_only=True,
        declared=_declare.fixed(),
    )
    # Another thread may have made one meanwhile. Both use the one that was stored first, because a handle that is
    # replaced loses what it has not sent within its last 250 ms. Nothing is called between the question and the
    # assignment.
    found = _handles.get(key)
    if found is not None and found[0] == depends:
        return found[1]
    _handles[key] = (depends, native)
    # The notice comes once in a process, and this handle may be gone before the first report.
    _waiting.extend(native.notices())
    return native


def send(mode: str, messages: Sequence[tuple[str, dict[str, Any]]], local_log: str | None = None) -> None:
    """Put messages, as names and values, into the queue of the native part, and log what it has to say. It returns at
    once."""
    native = usage(mode, local_log)
    for message, values in messages:
        for key in native.send(message, values):
            _declare.drop(message, key)
    _waiting.extend(native.notices())
    while True:
        try:
            level, text = _waiting.pop(0)
        except IndexError:
            # There is none, or another thread took the last one.
            return
        if text not in _told:
            _told.add(text)
            logger.log(level, "%s", _process.one_line(text))


def flush(seconds: float) -> None:
    """Wait for delivery of what this process has queued, at most ``seconds`` for all handles together."""
    import time

    deadline = time.monotonic() + seconds
    for _, native in list(_handles.values()):
        left = deadline - time.monotonic()
        if left > 0:
            native.flush(left)


def _version() -> str | None:
    version = getattr(sys.modules.get("lmcache"), "__version__", None)
    return version if isinstance(version, str) else None


def _accelerators() -> tuple[int, str, int] | None:
    """Return what torch knows of the devices, if it has initialised them already; to ask it earlier would."""
    device = getattr(sys.modules.get("lmcache"), "torch_dev", None) or getattr(
        sys.modules.get("torch"), "cuda", None
    )
    try:
        if device is None or device.is_initialized() is not True:
            return None
        first = device.get_device_properties(0)
        return int(device.device_count()), str(first.name), int(first.total_memory)
    except Exception:
        # The native part asks the driver then.
        return None
