"""From a message to its destination: through the native part, or through a sender that the caller brings along."""

from __future__ import annotations

import os
import sys

from otel_usage.lmcache import _core, _declare
from otel_usage.lmcache._log import Log
from otel_usage.lmcache.messages import EnvMessage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, TypeGuard

    from otel_usage.lmcache.identity import UsageIdentity
    from otel_usage.lmcache.messages import DeploymentMode, UsageMessage

logger = Log("transport")

_SERVER = "http://stats.lmcache.ai:8080"


def usage_server_url(endpoint: str, mode: DeploymentMode | None = None) -> str:
    """Return the URL of an endpoint, below ``LMCACHE_USAGE_TRACK_URL`` as it is now. ``mode`` does not change it."""
    return f"{os.environ.get('LMCACHE_USAGE_TRACK_URL', _SERVER).rstrip('/')}/{endpoint}"


class UsageMessageSender:
    """Sends messages to the usage server. A subclass may take them elsewhere, on the caller's thread."""

    def send(self, url: str, payload: dict[str, object]) -> None:
        """Put a message into the queue. It returns at once and never raises.

        ``url`` is the one that :func:`usage_server_url` gives, since consent is for that server alone. Only what the
        contract knows leaves.
        """
        try:
            name = str(payload.get("message_type", ""))
            if url != usage_server_url(url.rpartition("/")[2]):
                logger.debug("Unable to send lmcache usage message: %s is not the usage server", url)
                return
            _core.send(str(payload.get("deployment_mode", "")), [(name, _values(payload))])
        except Exception as error:
            logger.debug("Unable to send lmcache usage message: %s", error)


DEFAULT_SENDER = UsageMessageSender()

_SEND = UsageMessageSender.send


def build_usage_payload(message: UsageMessage, identity: UsageIdentity, mode: DeploymentMode) -> dict[str, object]:
    """Return the message as a sender gets it: the header, then the members, as they would leave.

    Tuples and the numbers of a histogram are Python's, as upstream's are. A ``ValueError`` tells that the contract has
    no such message.
    """
    import json

    name = type(message).__name__
    given = vars(message)
    found = _core.usage(mode.value).payload(name, _values(given))
    if found is None:
        raise ValueError(f"{name} is not part of the contract {_core.CONTRACT}")
    payload: dict[str, object] = json.loads(found)
    payload.update(session_id=identity.session_id, machine_id=identity.machine_id, deployment_mode=mode.value)
    for key in given.keys() - payload.keys():
        if given[key] is not None:
            _declare.drop(name, key)
    for key, sent in payload.items():
        value = given.get(key)
        # These are facts about the machine, which the native part finds itself.
        if key in given and (isinstance(message, EnvMessage) or key == "lmcache_version"):
            payload[key] = value
        elif _is_dict(value) and _is_dict(sent):
            payload[key] = {bound: sent.get(str(bound), 0) for bound in value}
        elif isinstance(value, tuple) and _is_list(sent):
            payload[key] = tuple(sent)
    return payload


def is_default(sender: object) -> bool:
    """Return whether a sender is the one of this module, and neither a subclass nor patched."""
    return type(sender) is UsageMessageSender and getattr(sender.send, "__func__", None) is _SEND


def may_report(sender: object) -> bool:
    """Return whether a message may be made for this sender.

    What only this machine may see (a local file, for example) goes through our own sender alone.
    """
    collection = _core.collection()
    return collection == "on" or (collection == "local" and is_default(sender))


def report(messages: Sequence[UsageMessage], mode: DeploymentMode, local_log: str | None = None) -> None:
    """Put messages into the queue of the native part."""
    named = [(type(message).__name__, _values(vars(message))) for message in messages]
    _core.send(mode.value, named, local_log)


def deliver(
    sender: UsageMessageSender,
    message: UsageMessage,
    identity: UsageIdentity,
    mode: DeploymentMode,
    url: str | None = None,
) -> None:
    """Hand a message to a sender."""
    if is_default(sender):
        report([message], mode)
    else:
        sender.send(url or usage_server_url(message.ENDPOINT), build_usage_payload(message, identity, mode))


def _values(members: dict[str, Any]) -> dict[str, Any]:
    return {key: _value(value) for key, value in members.items()}


def _value(value: Any) -> Any:
    """Return a value that the native part understands."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if _is_list(value):
        return [_value(entry) for entry in value]
    if _is_dict(value):
        # A histogram: the contract knows the bounds.
        return [_value(count) for count in value.values()]
    dtype = getattr(sys.modules.get("torch"), "dtype", None)
    if isinstance(dtype, type) and isinstance(value, dtype):
        return str(value)
    try:
        # A number of numpy, for example.
        return value.__index__()
    except Exception:
        # The native part names its type, and no more.
        return value


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, (list, tuple))


def _is_dict(value: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, dict)
