"""The cookies of captured pages, for notices that bring none.

A cookie with ``Path=/shop`` is sent with the page but not with its notice to ``/_lbc/notice``, and a sandboxed frame
sends no cookie at all. If such a cookie routes, only the page's own request and response show it.

``Cookie`` and the response's head stay in this process's memory for a short time, and are neither stored nor sent. They
are reduced to routing cookies when the notice arrives: most notices bring their own, so that the work would be done in
vain for most pages. Another process of the node, which got the notice, is sent the routing cookies only.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice

from lbcompanion.model import RoutingCookie, WallClock
from lbcompanion.sticky.cookies import parse, set_cookie_pairs
from lbcompanion.sticky.reader import CookieReader
from lbcompanion.sticky.set_cookie import MAX_SET_COOKIES, parse_set_cookies

#: Asks the node's other processes for the routing cookies of the page with a token; empty if none knows them.
FindPageCookies = Callable[[str], Awaitable[tuple[RoutingCookie, ...]]]

#: How long the cookies of a page are kept: a notice follows its page within seconds.
MAX_SECONDS = 120.0
# The largest entry. Browsers limit a cookie to 4 KiB.
_MAX_ENTRY_BYTES = 16384
# The token, and the objects of an entry.
_ENTRY_OVERHEAD_BYTES = 512


class PageCookies:
    """The cookies of the pages captured last.

    :param now: seconds since the epoch.
    :param max_bytes: the memory for all pages; the oldest are forgotten first.
    :param dropped: counts pages whose cookies a limit kept out, by reason.
    """

    def __init__(
        self, reader: CookieReader, now: WallClock, *, max_bytes: int, dropped: Counter[str] | None = None
    ) -> None:
        self._reader = reader
        self._now = now
        self._max_bytes = max_bytes
        self._dropped: Counter[str] = Counter() if dropped is None else dropped
        # By token: the Cookie field, the response's head as received, and when they were kept. A parsed head would take
        # several times the memory.
        self._kept: OrderedDict[str, tuple[bytes, bytes, float]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def total_bytes(self) -> int:
        """The memory in use, estimated."""
        return self._bytes

    def keep(self, token: str, cookie: bytes, response: bytes) -> None:
        """Keep the cookies of a page that is being captured.

        :param cookie: the value of the request's ``Cookie``; empty if there is none.
        :param response: the response's head as received.
        """
        size = _size(cookie, response)
        if size > _MAX_ENTRY_BYTES:
            self._dropped["too large"] += 1
            return
        self._kept[token] = (cookie, response, self._now())
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._dropped["memory is full"] += 1
            self._forget_oldest()

    def routing_cookies(self, token: str) -> tuple[RoutingCookie, ...]:
        """The routing cookies of a page: those of its request, as its response changed them. Empty if none is known."""
        kept = self._kept.get(token)
        if kept is None:
            return ()
        cookie, response, kept_at = kept
        lines = list(islice(_set_cookies(response), MAX_SET_COOKIES))
        # A response deletes a cookie by its expiry, often with a value: "SRV=deleted; Max-Age=0".
        set_by_page = parse_set_cookies(lines, kept_at)
        before = {name: value for name, value in parse(cookie).items() if name not in set_cookie_pairs(lines)}
        return self._reader.read(before | {name: each.value for name, each in set_by_page.items()})

    def tick(self) -> None:
        """Forget what is too old."""
        oldest = self._now() - MAX_SECONDS
        while self._kept and next(iter(self._kept.values()))[2] < oldest:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        _, (cookie, response, _) = self._kept.popitem(last=False)
        self._bytes -= _size(cookie, response)


def _size(cookie: bytes, response: bytes) -> int:
    return len(cookie) + len(response) + _ENTRY_OVERHEAD_BYTES


def _set_cookies(response: bytes) -> Iterator[str]:
    """The values of ``Set-Cookie`` in the head of a response."""
    for line in response.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.rstrip(b" \t").lower() == b"set-cookie":
            yield value.strip(b" \t").decode("latin-1")
