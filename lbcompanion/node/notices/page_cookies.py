"""The cookies of captured pages, for notices that bring none.

A cookie with ``Path=/shop`` is sent with the page but not with its notice to ``/_lbc/notice``, and a sandboxed frame
sends no cookie at all. If such a cookie routes, only the page's own request and response show it.

``Cookie`` and ``Set-Cookie`` of a page stay in this process's memory for a short time, and are neither stored nor sent.
They are reduced to routing cookies when the notice arrives: most notices bring their own, so that the work would be
done in vain for most pages.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from typing import NamedTuple

from lbcompanion.http1.heads import RequestHead, ResponseHead
from lbcompanion.model import RoutingCookie, WallClock
from lbcompanion.sticky.cookies import parse, set_cookie_pairs
from lbcompanion.sticky.reader import CookieReader
from lbcompanion.sticky.set_cookie import MAX_SET_COOKIES

#: How long the cookies of a page are kept: a notice follows its page within seconds.
MAX_SECONDS = 120.0
#: The memory for all pages; the oldest are forgotten first.
MAX_BYTES = 4194304
# The largest entry. Browsers limit a cookie to 4 KiB.
_MAX_ENTRY_BYTES = 16384
# The token, the tuple and the dictionary's entry.
_ENTRY_OVERHEAD_BYTES = 512


class _Kept(NamedTuple):
    cookie: bytes
    set_cookies: list[bytes]
    kept_at: float
    size: int


class PageCookies:
    """The cookies of the pages captured last.

    :param now: seconds since the epoch.
    """

    def __init__(self, reader: CookieReader, now: WallClock, *, max_bytes: int = MAX_BYTES) -> None:
        self._reader = reader
        self._now = now
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def total_bytes(self) -> int:
        """The memory in use, estimated."""
        return self._bytes

    def keep(self, token: str, request: RequestHead, response: ResponseHead) -> None:
        """Keep the cookies of a page that is being captured."""
        cookie = request.values.get(b"cookie", b"")
        set_cookies = response.all(b"set-cookie") if b"et-cookie:" in response.raw.lower() else []
        if not cookie and not set_cookies:
            return
        size = len(cookie) + sum(map(len, set_cookies)) + _ENTRY_OVERHEAD_BYTES
        if size > _MAX_ENTRY_BYTES:
            return
        self._kept[token] = _Kept(cookie, set_cookies, self._now(), size)
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._forget_oldest()

    def routing_cookies(self, token: str) -> tuple[RoutingCookie, ...]:
        """The routing cookies of a page: those of its request, as its response changed them. Empty if none is known."""
        kept = self._kept.get(token)
        if kept is None:
            return ()
        cookies = parse(kept.cookie)
        lines = (line.decode("latin-1") for line in islice(kept.set_cookies, MAX_SET_COOKIES))
        cookies |= set_cookie_pairs(lines)
        return self._reader.read({name: value for name, value in cookies.items() if value})

    def tick(self) -> None:
        """Forget what is too old."""
        oldest = self._now() - MAX_SECONDS
        while self._kept and next(iter(self._kept.values())).kept_at < oldest:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        _, forgotten = self._kept.popitem(last=False)
        self._bytes -= forgotten.size
