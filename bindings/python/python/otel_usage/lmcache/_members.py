"""Classes whose members are given by place or by name, as those of ``dataclasses``, whose import costs more than this
package.
"""

from __future__ import annotations

__all__ = ["members"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    # For a type checker they are dataclasses.
    from dataclasses import dataclass as members
else:

    def members(cls=None, *, frozen=False):
        """Give a class what a dataclass has: ``__init__``, ``==`` and ``repr``. ``frozen``: its members stay."""
        if cls is None:
            return lambda cls: members(cls, frozen=frozen)
        own = (name for name, kind in cls.__annotations__.items() if not kind.startswith("ClassVar"))
        cls.__match_args__ = tuple(own)
        cls.__init__, cls.__eq__, cls.__repr__ = _init, _eq, _repr
        cls.__hash__ = _hash if frozen else None
        if frozen:
            cls.__setattr__ = cls.__delattr__ = _keep
        return cls

    def _init(self, *places, **names):
        kind, keys = type(self).__name__, self.__match_args__
        if len(places) > len(keys):
            raise TypeError(f"{kind} has {len(keys)} members, not {len(places)}")
        given = dict(zip(keys, places))
        twice = given.keys() & names.keys()
        given.update(names)
        wrong = sorted(twice | (given.keys() ^ set(keys)))
        if wrong:
            raise TypeError(f"{kind}: missing, unknown or given twice: {', '.join(wrong)}")
        # In the order of the message.
        vars(self).update((key, given[key]) for key in keys)

    def _eq(self, other):
        return vars(self) == vars(other) if type(self) is type(other) else NotImplemented

    def _repr(self):
        given = ", ".join(f"{key}={value!r}" for key, value in vars(self).items())
        return f"{type(self).__qualname__}({given})"

    def _hash(self):
        return hash(tuple(vars(self).values()))

    def _keep(self, name, *_):
        raise AttributeError(f"{type(self).__name__} is frozen: {name!r} stays as it is")
