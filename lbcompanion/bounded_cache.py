"""A cache whose keys come from peers: bounded in entries and in bytes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from sys import getsizeof
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


def size_of(value: object) -> int:
    """The bytes that a value holds: those of a tuple's members count, whatever else an object refers to does not."""
    size = getsizeof(value)
    if isinstance(value, tuple):
        size += sum(map(size_of, value))
    return size


class BoundedCache(Generic[_Key, _Value]):
    """A cache of computed values; empties itself when it is full.

    An entry with a large key is not kept, so that a peer cannot fill memory. If another entry would exceed a limit, all
    entries are dropped. This needs no order and costs nothing on a hit, and useless entries cannot keep others out.

    :ivar entries: the entries, for compiled code that looks them up itself; it is always the same dictionary.
    :ivar get: ``get(key)``, None where nothing is kept; the dictionary's own method, so that a hit costs no more.
    :param max_entries: how many entries are kept.
    :param max_bytes: how many bytes keys and values hold together, by :func:`size_of`.
    :param max_key_bytes: the largest key that is kept, by :func:`size_of`.
    """

    __slots__ = ("_bytes", "_max_bytes", "_max_entries", "_max_key_bytes", "entries", "get")

    get: Callable[[_Key], _Value | None]

    def __init__(self, *, max_entries: int = 1024, max_bytes: int = 524288, max_key_bytes: int = 1024) -> None:
        self.entries: dict[_Key, _Value] = {}
        self.get = self.entries.get
        self._bytes = 0
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._max_key_bytes = max_key_bytes

    def put(self, key: _Key, value: _Value) -> _Value:
        """Keep an entry, if it is small enough.

        :returns: the value.
        """
        key_bytes = size_of(key)
        size = key_bytes + size_of(value)
        if key in self.entries or key_bytes > self._max_key_bytes or size > self._max_bytes:
            return value
        if len(self.entries) >= self._max_entries or self._bytes + size > self._max_bytes:
            self.entries.clear()
            self._bytes = 0
        self.entries[key] = value
        self._bytes += size
        return value

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def total_bytes(self) -> int:
        """How many bytes the entries hold."""
        return self._bytes
