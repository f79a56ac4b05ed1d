"""The facts about the machine. The native part finds them, without a child process."""

from __future__ import annotations

from otel_usage.lmcache import _core
from otel_usage.lmcache.messages import DeploymentMode, EnvMessage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def collect_env_message() -> EnvMessage:
    """Read the machine on the calling thread, which takes milliseconds."""
    import json

    found = _core.usage(DeploymentMode.SINGLE_PROCESS.value).payload("EnvMessage", {})
    sent: dict[str, Any] = json.loads(found) if found else {}
    members = {key: sent[key] for key in EnvMessage.__match_args__}
    members["architecture"] = tuple(members["architecture"])
    return EnvMessage(**members)


def unread_env_message() -> EnvMessage:
    """Return the message without its members: the native part's own thread reads the machine when it sends it."""
    return EnvMessage.__new__(EnvMessage)
