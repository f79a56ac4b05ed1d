"""Settings of LMCache that the contract does not know yet, and that LMCache declares itself."""

from __future__ import annotations

from otel_usage._declared import Declared, Undeclared, declared
from otel_usage.lmcache._log import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_usage.lmcache.messages import UsageMessage

logger = Log("messages")

#: The declared fields, in order.
fields: list[Declared] = []
#: Keys that were left out, each with the name of its message in front.
left_out = Undeclared()
#: Whether a message was made, after which the contract stays as it is.
_fixed = False


def declare(message: type[UsageMessage], name: str, type: type, *, doc: str, kind: str) -> None:
    """Declare a member of a message that the contract does not know, before the first report.

    Parameters
    ----------
    message:
        The class of the message, such as :class:`EngineMessage`.
    name:
        The member, and the key in the message. ``EngineMessage.from_config`` and ``MPServerMessage.from_configs`` take
        it from the configuration (or the metadata) by this name. Another message has it if the caller sets it.
    type:
        ``bool``, ``float``, ``int`` or ``str``. A value of another type is not sent.
    doc:
        The meaning of the value, with its unit.
    kind:
        The thing that it tells about the engine: ``configuration``, ``identity``, ``machine`` or ``workload``.

    Errors
    ------
    ``ValueError`` if the message, the type or the kind is unknown. A member that the contract knows stays as it is.

    Examples
    --------
    >>> declare(EngineMessage, "use_layerwise", bool, doc="Whether layers are moved one by one.", kind="configuration")
    """
    from otel_usage.lmcache import messages

    known = getattr(message, "__name__", "")
    if getattr(messages, known, None) is not message or not message.__match_args__:
        raise ValueError(f"{name}: {message!r} is no message of LMCache: use a class of otel_usage.lmcache.messages")
    field = declared(known, name, type, doc, kind)
    if field in fields:
        return
    if _fixed:
        logger.debug("%s.%s was declared after the first report and is not sent", known, name)
        return
    fields.append(field)


def undeclared() -> dict[str, int]:
    """Return how often each member was left out because neither the contract nor :func:`declare` knows it.

    Keys are ``message.member``.
    """
    return dict(left_out.counts)


def fixed() -> list[Declared]:
    """Return what was declared. Nothing can be declared any more."""
    global _fixed
    _fixed = True
    return fields


def drop(message: str, key: str) -> None:
    """Count a member that is not sent, and name it once."""
    if left_out.is_new(f"{message}.{key}"):
        logger.debug("%s.%s is not sent, because nobody declared it", message, key)


def with_declared(message: UsageMessage, *sources: object) -> None:
    """Give a message its declared members, each from the first object that has it."""
    for of, name, *_ in fields:
        if of == type(message).__name__ and name not in message.__match_args__:
            for source in sources:
                if hasattr(source, name):
                    setattr(message, name, getattr(source, name))
                    break
