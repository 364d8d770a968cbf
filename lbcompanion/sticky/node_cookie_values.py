"""Finds the cookie values that belong to a node in the notices of many visitors. No I/O, no clock.

A balancer gives all visitors of a node one value; a session has another value for each visitor. So a value that several
visitors of a node sent may be the node's.

A visitor can post as many notices as he likes, with any value and any ``User-Agent``. So this only says which value is
worth a try: it is verified by replays before it is used, and what the rules for credentials forbid never gets here.
That visitors of other nodes sent a value too is no reason against a try. They may have been moved, and otherwise a few
forged notices would keep the value of a node from being tried. The worst that forged notices do is that a cookie seems
to have another value for each visitor; then no value of it is tried.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeVar

from lbcompanion.model import RoutingCookie

#: How many visitors of a node must have sent a value.
LEAST_VISITORS = 2

_MAX_NAMES = 64
_MAX_VALUES_PER_NAME = 256
_MAX_VISITORS_PER_VALUE = 32
_MAX_COOKIE_CHARS = 512

_Key = TypeVar("_Key", bound=Hashable)
_Inner = TypeVar("_Inner", bound=Hashable)
_Value = TypeVar("_Value")

#: The visitors who sent a value, by node: each visitor's pseudonym, and the token of one notice.
_Senders = dict[str, dict[str, str]]


class NodeCookieValues:
    """The cookie values in the notices of all sites. Their number is bounded; the oldest are dropped."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], dict[str, _Senders]] = {}

    def note(self, site: str, node: str, visitor: str, token: str, cookies: Iterable[tuple[str, str]]) -> None:
        """Note the cookies of one notice.

        :param node: the node that made the page.
        :param visitor: a pseudonym, the same for all notices of the visitor; empty: unknown, and the notice does not
            count.
        """
        if not visitor:
            return
        for name, value in cookies:
            if len(name) + len(value) <= _MAX_COOKIE_CHARS:
                by_value = _entry(self._values, (site, name), _MAX_NAMES)
                senders = _entry(_entry(by_value, value, _MAX_VALUES_PER_NAME), node, _MAX_VISITORS_PER_VALUE)
                if len(senders) < _MAX_VISITORS_PER_VALUE:
                    senders.setdefault(visitor, token)

    def belongs_to_node(self, site: str, node: str, cookie: RoutingCookie) -> bool:
        """Whether a value may be the node's: several visitors of the node sent it, in notices of different pages, and
        most values of the cookie are shared by several visitors."""
        by_value = self._values.get((site, cookie.name), {})
        if _count(by_value.get(cookie.value, {}).get(node, {})) < LEAST_VISITORS:
            return False
        shared = sum(_is_shared(each) for each in by_value.values())
        return 2 * shared >= len(by_value)


def _entry(kept: dict[_Key, dict[_Inner, _Value]], key: _Key, most: int) -> dict[_Inner, _Value]:
    """Return the entry of a key; make one if it is missing, and drop the oldest if there are too many."""
    entry = kept.get(key)
    if entry is None:
        if len(kept) >= most:
            del kept[next(iter(kept))]
        entry = kept[key] = {}
    return entry


def _count(visitors: dict[str, str]) -> int:
    """The number of visitors, at most that of their pages."""
    return min(len(visitors), len(set(visitors.values())))


def _is_shared(senders: _Senders) -> bool:
    return sum(_count(visitors) for visitors in senders.values()) >= LEAST_VISITORS
