"""An own contract from an annotated class: what each member says decides whether it is sent.

>>> from typing import Annotated
>>> from otel_usage import record, sent
>>> @record("my_engine/1", server="https://stats.example.org")
... class Report:
...     layers: Annotated[int, sent("Number of layers.", "configuration")]
"""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from otel_usage import _native
from otel_usage._declared import engine_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_usage._native import Described

_Class = TypeVar("_Class", bound=type)

_TYPES = {bool: "bool", float: "float", int: "int", str: "str", list[int]: "ints", list[str]: "strs"}


class sent(NamedTuple):  # noqa: N801
    """Marks a member as sent: what it means, and which kind of data it is.

    ``kind`` is ``configuration``, ``identity``, ``machine`` or ``workload``; ``unit`` is a UCUM unit such as ``By`` or
    ``s``; ``key`` is its name in the message. Default: the member's name.
    """

    doc: str
    kind: str
    unit: str = ""
    key: str | None = None


class private(NamedTuple):  # noqa: N801
    """Marks a member as never sent."""

    because: str = ""


class Record(NamedTuple):
    """What :func:`record` found in a class."""

    contract: str
    kind: str
    members: dict[str, str]


def record(
    contract: str,
    *,
    server: str | None = None,
    server_variable: str | None = None,
    switch: str | None = None,
    notice_url: str | None = None,
    heartbeat: int | None = 600,
    endpoint: str = "",
) -> Callable[[_Class], _Class]:
    """Make a contract from an annotated class.

    Parameters
    ----------
    contract:
        The name of the contract: ``engine/version``.
    server:
        Base URL of the usage server. Default: none, so that only files and OTLP are left.
    server_variable:
        The variable by which an operator names another server.
    switch:
        The variable whose presence turns this engine's reports off, beside ``DO_NOT_TRACK``.
    notice_url:
        The page on which operators can read what is sent.
    heartbeat:
        Seconds between two heartbeats. ``None``: there are none.
    endpoint:
        Path of the message below the server's URL.

    Errors
    ------
    ``ValueError`` if a member is neither :class:`sent` nor :class:`private`, or has a type that cannot be sent.
    """

    def describe(cls: _Class) -> _Class:
        engine = engine_of(contract)
        members, fields = _fields(cls, engine)
        operation = {
            "server": server,
            "server_variable": server_variable,
            "switches": [] if switch is None else [switch],
            "notice_url": notice_url,
            "directory": None,
            "local_file": None,
        }
        text = _native.make_contract(contract, engine, endpoint, heartbeat, fields, operation)
        cls.__otel_usage__ = Record(text, f"{engine}.report", members)  # type: ignore[attr-defined]
        return cls

    return describe


def contract_of(cls: type) -> tuple[str, str]:
    """Return the text of the contract that :func:`record` made for a class, and its kind of record."""
    described = getattr(cls, "__otel_usage__", None)
    if not isinstance(described, Record):
        raise ValueError(f"{cls!r} describes no contract: decorate it with otel_usage.record")
    return described.contract, described.kind


def attributes_of(value: object) -> dict[str, Any]:
    """Return the attributes of an object whose class :func:`record` described."""
    described = getattr(type(value), "__otel_usage__", None)
    if not isinstance(described, Record):
        return {}
    return {attribute: getattr(value, member, None) for member, attribute in described.members.items()}


def _fields(cls: type, engine: str) -> tuple[dict[str, str], list[Described]]:
    members: dict[str, str] = {}
    fields: list[Described] = []
    for member, hint in get_type_hints(cls, include_extras=True).items():
        marks = [mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, (sent, private))]
        if len(marks) != 1:
            raise ValueError(
                f"{cls.__name__}.{member} is not classified: annotate it with one of otel_usage.sent and "
                "otel_usage.private"
            )
        mark = marks[0]
        if isinstance(mark, private):
            continue
        ty = _type(get_args(hint)[0])
        if ty is None:
            known = "bool, float, int, str, list[int] and list[str]"
            raise ValueError(f"{cls.__name__}.{member} cannot be sent: types are {known}, each also with None")
        attribute = f"{engine}.{member}"
        members[member] = attribute
        fields.append((mark.key or member, attribute, ty, mark.unit, mark.doc, mark.kind))
    return members, fields


def _type(hint: Any) -> str | None:
    if get_origin(hint) in (Union, types.UnionType):
        rest = [one for one in get_args(hint) if one is not type(None)]
        return _type(rest[0]) if len(rest) == 1 else None
    return _TYPES.get(hint)
