"""Pauses all requests to a site after its edge answered 429, or 503 with ``Retry-After``.

Answers of companions do not count: they concern one copy or one node, not the site. The caller leaves out answers of
the application for the same reason: an author of a page can name a URL that is always refused.
"""

from __future__ import annotations

from collections.abc import Callable

from lbcompanion.crawler.fetching.http_client import Reply
from lbcompanion.http1.dates import parse_http_date
from lbcompanion.model import WallClock
from lbcompanion.protocol.headers import NODE

#: The word for a request that was not sent because the site is paused.
PAUSED = "site paused"

_FIRST_SECONDS = 2.0
_MAX_SECONDS = 120.0


def asks_for_fewer(reply: Reply) -> bool:
    """Whether a response asks for fewer requests: 429, or 503 with ``Retry-After``."""
    return reply.status == 429 or (reply.status == 503 and bool(reply.header("retry-after")))


def retry_after_seconds(reply: Reply, now: float) -> float | None:
    """Return the seconds in ``Retry-After`` (RFC 9110 section 10.2.3); None if it is missing or malformed."""
    value = reply.header("retry-after").strip()
    if value.isascii() and value.isdigit():
        return float(min(int(value[:9]), int(_MAX_SECONDS)))
    date = parse_http_date(value, now)
    return None if date is None else max(0.0, date - now)


class SitePause:
    """The pause of one site.

    :param now: the time in seconds.
    """

    def __init__(self, now: WallClock) -> None:
        self._now = now
        self._until = 0.0
        self._next_seconds = _FIRST_SECONDS
        #: Called with the seconds of a pause that an answer began or made longer.
        self.on_pause: Callable[[float], object] = lambda _seconds: None

    def seconds_left(self) -> float:
        """Return how long the site is still paused; 0 if it is not."""
        return max(0.0, min(self._until - self._now(), _MAX_SECONDS))

    def note(self, reply: Reply) -> None:
        """Begin or end a pause by an answer that came through the balancer."""
        if not self._is_refusal(reply):
            if reply.status < 500 and not self.seconds_left():
                self._next_seconds = _FIRST_SECONDS
            return
        asked_for = retry_after_seconds(reply, self._now())
        if not self.seconds_left():
            seconds = self._next_seconds if asked_for is None else asked_for
            self._next_seconds = min(self._next_seconds * 2, _MAX_SECONDS)
        else:
            seconds = asked_for or 0.0  # sent before the pause began
        before = self._until
        self.extend(max(seconds, 1.0))
        if self._until > before:
            self.on_pause(self.seconds_left())

    def extend(self, seconds: float) -> None:
        """Pause until this time has passed, or longer if a longer pause is in progress."""
        self._until = max(self._until, self._now() + min(seconds, _MAX_SECONDS))

    @staticmethod
    def _is_refusal(reply: Reply) -> bool:
        if reply.header(NODE.lower) or reply.header("content-type").startswith("application/problem+json"):
            return False
        return asks_for_fewer(reply)
