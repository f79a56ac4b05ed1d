"""Two random identifiers of the sender, and whether anything may be reported at all."""

from __future__ import annotations

import os

from otel_usage.lmcache import _core
from otel_usage.lmcache._log import Log
from otel_usage.lmcache._members import members

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

logger = Log("identity")

#: Most characters of the file that are read. A UUID has 36.
_CHARACTERS = 128
#: Attempts to take the lock of the file, and the seconds between two: a tenth of a second in all, while the other process
#: needs the lock to write 36 bytes.
_TRIES, _PAUSE = 50, 0.002


@members(frozen=True)
class UsageIdentity:
    """The fields of every message that tell its sender."""

    #: UUID of this process. A forked child has another one.
    session_id: str
    #: UUID of the machine, kept in a file. Empty: it can be neither read nor made.
    machine_id: str


_usage_identity: UsageIdentity | None = None
#: The process that ``_usage_identity`` is for.
_process: int | None = None


def usage_config_dir() -> Path:
    """Return the directory with LMCache's own file of the machine's identifier."""
    from pathlib import Path

    return Path(_directory())


def is_usage_tracking_enabled() -> bool:
    """Return whether usage data may leave this machine, by the variables and files as they are now.

    ``LMCACHE_TRACK_USAGE`` and ``DO_NOT_TRACK`` switch it off, as the other switches of this package do.
    """
    return _core.collection() == "on"


def get_usage_identity() -> UsageIdentity:
    """Return the identity of this process, which the first call makes.

    It makes the file of the machine's identifier if it is missing. Ask :func:`is_usage_tracking_enabled` before.
    """
    global _usage_identity, _process
    process = os.getpid()
    # No lock: a thread that does not exist in a forked child may hold it. Threads that come here at once get the
    # identity that was stored first, because nothing is called between the second question and the assignment, so
    # that Python does not change threads there.
    if _usage_identity is None or _process not in (None, process):
        made = UsageIdentity(_uuid(), _machine_id())
        if _usage_identity is None or _process not in (None, process):
            _usage_identity = made
            _process = process
    _process = process
    return _usage_identity


def _directory() -> str:
    return os.path.expanduser("~/.config/lmcache")


def _uuid() -> str:
    from uuid import uuid4

    return str(uuid4())


def _machine_id() -> str:
    directory = _directory()
    path = os.path.join(directory, "machine_id")
    try:
        if not os.path.lexists(path):
            os.makedirs(directory, exist_ok=True)
            _make(path)
        # A pipe would wait for a writer.
        if os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                text = file.read(_CHARACTERS).strip()
            return _checked(text or _make(path))
    except OSError:
        logger.debug("Cannot persist usage machine id", exc_info=True)
    return ""


def _make(path: str) -> str:
    """Write a new identifier into the file, unless another process was faster, and return what it holds."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        locked = _lock(descriptor)
        there = os.read(descriptor, _CHARACTERS).decode("utf-8", "replace").strip()
        if locked and not there:
            there = _uuid()
            os.write(descriptor, there.encode())
        return there
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Take the lock of a file, and return whether it was free soon, because an engine's start must not wait for another
    process."""
    try:
        import fcntl
    except ImportError:
        # Not on this system.
        return True
    import time

    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(_PAUSE)
    return False


def _checked(text: str) -> str:
    """Return the text if it is a UUID. Anything else may be a name, and stays here."""
    from uuid import UUID

    try:
        return str(UUID(text))
    except ValueError:
        return ""
