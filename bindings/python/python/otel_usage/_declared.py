"""Names of contracts, fields that an engine declares beside its call, and those that it did not declare."""

from __future__ import annotations

#: The values that a declared field can have.
TYPES: dict[type, str] = {bool: "bool", float: "float", int: "int", str: "str"}
#: The things that a declared field can say about an engine.
KINDS = ("configuration", "identity", "machine", "workload")
#: Most keys without a declaration that are remembered by name.
NAMED = 64

#: Message, key, type, doc and kind of data, as the native part takes them.
Declared = tuple[str, str, str, str, str]


def engine_of(contract: str) -> str:
    """Return the engine in the name of a contract. A ``ValueError`` tells that it is no such name."""
    engine, _, version = contract.partition("/")
    if not engine or not version:
        raise ValueError(f"{contract!r} is no name of a contract: write engine/version, such as 'my_engine/1'")
    return engine


def declared(message: str, name: str, ty: type, doc: str, kind: str) -> Declared:
    """Return the declaration of a field. A ``ValueError`` tells that the type or the kind is unknown."""
    if ty not in TYPES:
        known = ", ".join(each.__name__ for each in TYPES)
        raise ValueError(f"{name}: {ty!r} cannot be sent: use one of {known}")
    if kind not in KINDS:
        raise ValueError(f"{name}: {kind!r} is no kind of data: use one of {', '.join(KINDS)}")
    return message, name, TYPES[ty], doc, kind


class Undeclared:
    """How often each key was left out because nobody declared it."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def is_new(self, key: str) -> bool:
        """Count a key, and return whether it is the first time."""
        if key in self.counts:
            self.counts[key] += 1
        elif len(self.counts) < NAMED:
            self.counts[key] = 1
            return True
        return False
