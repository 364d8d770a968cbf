"""Addresses that give access to one recording for a short time, without a cookie.

Cookies do not separate the ports of a host, so the listener for scripts has none. A viewing begins in the dashboard,
where the user is known. Its key for a recording is a part of each address; a page that learns its own key learns
nothing about the user, and cannot make the key of another recording.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from hashlib import sha256

from attrs import field, frozen

from lbcompanion.crawler.admin.endpoint import Caller, Recheck, allow
from lbcompanion.crawler.metrics import CrawlerMetrics

_ID_BYTES, _SECRET_BYTES, _MAC_CHARS = 8, 32, 32


@frozen
class Viewing:
    """The time in which a user looks at recordings with their scripts.

    :ivar user: who began it.
    :ivar ends_at: by the clock of :class:`Viewings`.
    :ivar recheck: raises an error if the user may not look at recordings any more.
    """

    id: str
    user: Caller
    ends_at: float
    recheck: Recheck = field(repr=False)
    _secret: bytes = field(repr=False)

    def key(self, token: str) -> str:
        """Return the part of an address that gives access to a recording."""
        mac = hmac.new(self._secret, token.encode("utf-8", "surrogatepass"), sha256).hexdigest()
        return f"{self.id}-{mac[:_MAC_CHARS]}"


class Viewings:
    """The viewings of this process; a restart ends them.

    :param seconds: how long a viewing lasts.
    :param most: how many there are at a time; the oldest one ends first.
    :param clock: seconds that only increase.
    :param random: returns random bytes.
    """

    def __init__(
        self,
        *,
        seconds: float,
        most: int,
        clock: Callable[[], float],
        random: Callable[[int], bytes],
        metrics: CrawlerMetrics,
    ) -> None:
        self._seconds = seconds
        self._most = most
        self._metrics = metrics
        self._clock = clock
        self._random = random
        self._viewings: dict[str, Viewing] = {}
        metrics.watch_viewings(lambda: len(self._viewings))

    def begin(self, user: Caller, recheck: Recheck = allow) -> Viewing:
        """Begin a viewing.

        :param recheck: as in :class:`Viewing`.
        """
        self._forget_ended()
        if len(self._viewings) >= self._most:
            del self._viewings[next(iter(self._viewings))]
            self._metrics.count_dropped_viewing()
        ends_at = self._clock() + self._seconds
        viewing = Viewing(self._random(_ID_BYTES).hex(), user, ends_at, recheck, self._random(_SECRET_BYTES))
        self._viewings[viewing.id] = viewing
        return viewing

    def find(self, key: str, token: str) -> Viewing | None:
        """Return the viewing whose key for a recording this is; None if it has ended or the key is another one."""
        viewing = self._viewings.get(key.partition("-")[0])
        if viewing is None or viewing.ends_at <= self._clock():
            return None
        is_its = hmac.compare_digest(viewing.key(token).encode(), key.encode("utf-8", "surrogatepass"))
        return viewing if is_its else None

    def end(self, viewing: Viewing) -> None:
        """End a viewing before its time."""
        self._viewings.pop(viewing.id, None)

    def _forget_ended(self) -> None:
        now = self._clock()
        for each in [each for each, viewing in self._viewings.items() if viewing.ends_at <= now]:
            del self._viewings[each]
