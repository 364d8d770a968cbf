"""The nouns that all rooms share: frozen, without behaviour that needs a clock, a socket or chance.

Times are seconds since the epoch, UTC, as floats; on the wire they are RFC 3339
(:func:`to_rfc3339`, :func:`from_rfc3339`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from hashlib import sha256

from attrs import field, frozen

#: Gives the time of day: seconds since the epoch. It can jump.
WallClock = Callable[[], float]
#: Gives seconds that only go forward, from a moment that means nothing.
MonotonicClock = Callable[[], float]

#: What a node may be called (docs/configuration.rst: 1-32 of ``A-Z a-z 0-9 _ -``).
NODE_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)


def to_rfc3339(seconds: float) -> str:
    """Write a time as RFC 3339 in UTC with microseconds: ``2026-11-23T21:10:00.000000Z``."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def from_rfc3339(text: str) -> float:
    """Read an RFC 3339 time.

    :raises ValueError: where the text is no such time, or has no offset from UTC.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs an offset from UTC, such as Z")
    return moment.timestamp()


class MissReason(Enum):
    """Why a companion does not answer with the copy."""

    UNKNOWN = "unknown"
    EXPIRED = "expired"
    PULLED = "pulled"
    EVICTED = "evicted"
    MISROUTED = "misrouted"


@frozen
class Page:
    """The copy of one HTML response as the application made it.

    :ivar token: its unguessable name.
    :ivar url: the address asked for, as the visitor's request named it (scheme and host included).
    :ivar method: the request's method.
    :ivar status: the application's status.
    :ivar content_type: the ``Content-Type`` line as it came; empty where none came.
    :ivar captured_at: when the head of the response arrived.
    :ivar body: the bytes, content coding undone, masks and excluded blocks taken out.
    :param sha256: SHA-256 of ``body``, 32 bytes; empty: not known yet.
    :ivar kept_at: since when it is kept, where another node had it before; None: since a store takes it.
    """

    token: str
    url: str
    method: str
    status: int
    content_type: str
    captured_at: float
    body: bytes = field(repr=False)
    _sha256: bytes = field(default=b"", repr=False, eq=False)
    kept_at: float | None = field(default=None, eq=False)

    @property
    def sha256(self) -> bytes:
        """SHA-256 of ``body``, 32 bytes. Made when it is first asked for: a page that nobody fetches needs none."""
        if not self._sha256:
            object.__setattr__(self, "_sha256", sha256(self.body).digest())
        return self._sha256


@frozen
class Miss:
    """No copy, and why.

    :ivar detail: a sentence for people; empty where the reason says all.
    :ivar owner: the owner's node name, for ``misrouted`` only.
    """

    reason: MissReason
    detail: str = ""
    owner: str = ""


@frozen
class RoutingCookie:
    """A cookie by which the balancer chooses the node, already cut down to its routing part.

    :ivar value: what to send; raw, never decoded or quoted anew. Not shown in ``repr``.
    """

    name: str
    value: str = field(repr=False)


class Told(Enum):
    """Who noticed that a page was viewed."""

    BROWSER = "browser"
    SERVER = "server"


@frozen
class Notice:
    """ "This copy was viewed", as a node sends it to the crawler.

    :ivar url: the page's address as the browser told it; never trusted, never fetched.
    :ivar cookies: routing cookies only, name to routing part.
    :ivar viewed_at: when the browser says it was.
    :ivar noticed_at: when the node got it.
    :ivar page_url: the copy's own address where the node knows it, else empty.
    :ivar by: the browser, or the node itself.
    """

    token: str
    url: str
    cookies: Mapping[str, str] = field(repr=False)
    viewed_at: float
    noticed_at: float
    page_url: str = ""
    by: Told = Told.BROWSER


@frozen
class Loss:
    """ "This copy is gone", as the node that had it tells the crawler.

    :ivar reason: why, in words.
    """

    token: str
    reason: str


class RouteKind(Enum):
    """A way to bring a fetch to a given node; the order is the default ladder."""

    RECORDED = "recorded"
    OWN = "own"
    COMPUTED = "computed"
    DIRECT = "direct"
    ANY = "any"


@frozen
class Attempt:
    """One try of one route.

    :ivar node: who answered, proven; empty where nobody did or nothing was proven.
    :ivar result: ``fetched`` where it brought the copy, and once that is archived ``archived``, or else ``not stored``;
        a miss's reason; or a short word for the failure (``timeout``, ``refused``, ``unproven``, ``digest``,
        ``status 503`` ...).
    :ivar ms: how long it took, in milliseconds.
    :ivar learnt: what was found out before, by and after it, in words for people, without any cookie's value.
    """

    route: RouteKind
    node: str
    result: str
    ms: float
    learnt: str = ""


class Verdict(Enum):
    """How a notice ended."""

    ARCHIVED = "archived"
    LOST = "lost"


@frozen
class Outcome:
    """The one end of one notice.

    :ivar reason: why it was lost; empty when archived.
    """

    verdict: Verdict
    reason: str = ""
