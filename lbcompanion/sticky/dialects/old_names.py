"""Old names of a dialect's verbs and properties, for dialects from outside the tree; the next release drops them.

A dialect made of a :class:`~lbcompanion.sticky.dialects.shapes.Shape` gets the new names when its class is made, any
other object when it is loaded. Both cause a :class:`DeprecationWarning`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from warnings import warn

from lbcompanion.sticky.dialects.interface import Dialect

#: Methods, old name to new.
METHODS: Mapping[str, str] = {"cut": "reduce", "reveal": "node_of", "forge": "compute", "moved": "detects_move"}
#: Properties and arguments, old name to new.
PROPERTIES: Mapping[str, str] = {
    "keyed": "hash_keyed",
    "held_back": "never_record",
    "renamable": "configurable_name",
}

_OLD_OF = {new: old for old, new in {**METHODS, **PROPERTIES}.items()}


def _warn(owner: str, old: str, new: str, stacklevel: int) -> None:
    warn(f"{owner}: {old} is now called {new}", DeprecationWarning, stacklevel=stacklevel + 1)


def rename_in_class(cls: type) -> None:
    """Give a class of a dialect its methods and fields under both names.

    A method under an old name overrides its base class under the new one. Methods under new names are found under the
    old ones too, so that ``super().cut(...)`` reaches them.
    """
    own = cls.__dict__
    for old, new in METHODS.items():
        if new in own:
            setattr(cls, old, own[new])
        elif old in own:
            _warn(cls.__qualname__, old, new, 3)
            setattr(cls, new, own[old])
    fields = own.get("__annotations__", {})
    for old, new in PROPERTIES.items():
        if old in fields:
            _warn(cls.__qualname__, old, new, 3)
            fields[new] = fields.pop(old)
            if old in own:
                setattr(cls, new, own[old])
                delattr(cls, old)


def renamed_arguments(owner: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a dialect's constructor under their new names."""
    for old in PROPERTIES.keys() & arguments.keys():
        _warn(owner, old, PROPERTIES[old], 3)
    return {PROPERTIES.get(name, name): value for name, value in arguments.items()}


class _Renamed:
    """A dialect under the new names."""

    def __init__(self, dialect: object) -> None:
        self._dialect = dialect
        # Since Python 3.12 a runtime protocol looks for attributes without __getattr__.
        for name in vars(Dialect):
            if not name.startswith("_"):
                with suppress(AttributeError):
                    setattr(self, name, self.__getattr__(name))

    def __getattr__(self, name: str) -> Any:
        dialect = self._dialect
        return getattr(dialect, name if hasattr(dialect, name) else _OLD_OF.get(name, name))

    def __repr__(self) -> str:
        return repr(self._dialect)


def with_new_names(dialect: object) -> object:
    """The dialect itself, or a wrapper with the new names if it has all that a dialect needs under old ones."""
    if isinstance(dialect, Dialect):
        return dialect
    renamed = _Renamed(dialect)
    if not isinstance(renamed, Dialect):
        return dialect
    for new, old in _OLD_OF.items():
        if not hasattr(dialect, new):
            _warn(type(dialect).__qualname__, old, new, 2)
    return renamed
