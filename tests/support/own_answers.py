"""What every answer of the companion itself carries, and a store that fails in a way of its own."""

from __future__ import annotations

from typing import Any

from lbcompanion.stores.memory import MemoryStore
from tests.support.in_memory_node import Answer

GUARDS = {
    b"cache-control": b"no-store",
    b"x-robots-tag": b"noindex, nofollow",
    b"content-security-policy": b"sandbox",
    b"x-content-type-options": b"nosniff",
}


def guarded(answer: Answer) -> bool:
    return all(answer.all(name) == [value] for name, value in GUARDS.items())


class Odd(MemoryStore):
    """Raises what no store should."""

    def take(self, token: str) -> Any:
        raise ZeroDivisionError

    peek = drop = take
