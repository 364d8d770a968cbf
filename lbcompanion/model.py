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


#: What is known of a page beside its body, its digest and the time of keeping: attributes of :class:`Page`. So it is
#: kept in stores and handed to other processes and nodes.
PAGE_METADATA = ("token", "url", "method", "status", "content_type", "captured_at")


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


class NoticeSource(Enum):
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
    :ivar source: the browser, or the node itself.
    """

    token: str
    url: str
    cookies: Mapping[str, str] = field(repr=False)
    viewed_at: float
    noticed_at: float
    page_url: str = ""
    source: NoticeSource = NoticeSource.BROWSER


class LossCode(Enum):
    """Why a page is lost. The value is what people are told, on the wire, in the API and in the log; names in braces
    are filled in.
    """

    EXPIRED = MissReason.EXPIRED.value
    PULLED = MissReason.PULLED.value
    EVICTED = MissReason.EVICTED.value
    #: The owner was reached and has no such copy.
    UNKNOWN = "unknown at its owner {owner}"
    NO_ANSWER = "no answer from {owner} within {seconds:g} s: last {last}"
    #: The same, where no time was given for more than one round.
    NO_ANSWER_IN_ONE_ROUND = "no answer from {owner}: last {last}"
    NO_ROUND_ENDED = "no answer"
    NO_SITE = "no site for this address"
    SITE_NOT_CONFIGURED = "its site is not configured"
    NOT_RECORDABLE = "cannot be archived: {why}"
    #: The node that had the copy stopped.
    NO_PEERS = "the node stopped, and it has no peers that could keep the copy"
    NO_PEER_TOOK = "the node stopped, and no peer took the copy"
    NO_TIME = "the node stopped before there was time to give the copy to a peer"
    NOT_TAKEN_OVER = "the node stopped, and the process that took its place did not get the copy"
    #: Words that came over the wire, from a node of another version, and are none of the others.
    OTHER = "{words}"


@frozen
class LossReason:
    """Why one page is lost.

    :ivar text: what people are told.
    """

    code: LossCode
    text: str

    @classmethod
    def of(cls, code: LossCode, **details: str | float) -> LossReason:
        """The reason of a code.

        :param details: what the code's text leaves open.
        """
        return cls(code, code.value.format(**details))

    @classmethod
    def read(cls, text: str) -> LossReason:
        """The reason that a text states, which was sent or stored."""
        code = _CODE_OF.get(text, LossCode.OTHER)
        return cls(code, text)


_CODE_OF = {code.value: code for code in LossCode if "{" not in code.value}


def _reason(reason: LossReason | str) -> LossReason:
    return LossReason.read(reason) if isinstance(reason, str) else reason


@frozen
class Loss:
    """ "This copy is gone", as the node that had it tells the crawler.

    :ivar reason: why; a text is read as it was sent.
    """

    token: str
    reason: LossReason = field(converter=_reason)


class RouteKind(Enum):
    """A way to bring a fetch to a given node; the order is the default ladder."""

    RECORDED = "recorded"
    OWN = "own"
    COMPUTED = "computed"
    DIRECT = "direct"
    ANY = "any"


#: The rungs of the ladder from the top, by name: what is allowed in a configuration, and its default.
DEFAULT_LADDER = tuple(kind.value for kind in RouteKind)


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
