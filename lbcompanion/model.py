"""The values that all packages share: frozen classes that need no clock, no socket and no randomness.

Times are seconds since the epoch, UTC, as floats; on the wire they are RFC 3339
(:func:`to_rfc3339`, :func:`from_rfc3339`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum, StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from attrs import frozen as frozen_for_mypy
else:
    # A frozen class sets each attribute by object.__setattr__, which takes ten times as long.
    from attrs import define as frozen_for_mypy

#: Returns the time of day in seconds since the epoch. It can jump.
WallClock = Callable[[], float]
#: Returns seconds since an arbitrary start; never goes back.
MonotonicClock = Callable[[], float]

#: A node's name (docs/configuration.rst): 1 to 32 of ``A-Z a-z 0-9 _ -``.
NODE_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)
CRAWLER_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


def to_rfc3339(seconds: float) -> str:
    """Write a time as RFC 3339 in UTC with microseconds: ``2026-11-23T21:10:00.000000Z``."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def from_rfc3339(text: str) -> float:
    """Read an RFC 3339 time.

    :raises ValueError: if the text is not an RFC 3339 time, or has no offset from UTC.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs an offset from UTC, such as Z")
    return moment.timestamp()


def read_time(text: str) -> float:
    """Read an RFC 3339 time, or a date such as 2026-11-23, which means 00:00 UTC.

    :raises ValueError: if the text is neither.
    """
    return from_rfc3339(f"{text}T00:00:00Z" if len(text) == len("2026-11-23") else text.upper())


class MissReason(Enum):
    """Why a companion does not answer a fetch with the copy."""

    UNKNOWN = "unknown"
    EXPIRED = "expired"
    PULLED = "pulled"
    EVICTED = "evicted"
    MISROUTED = "misrouted"


class MissingKind(StrEnum):
    """Why a requisite is not archived, as the label of a metric."""

    ANOTHER_ORIGIN = "origin"
    PREFIX = "prefix"
    EXCLUDED = "excluded"
    LIMIT = "limit"
    #: The site asked for fewer requests.
    REFUSED = "refused"
    STATUS = "status"
    TYPE = "type"
    #: No complete response came.
    FAILED = "failed"
    #: No request, or no record, can have its URL or its type.
    UNUSABLE = "unusable"


# A URL and a type of this size together belong to what each copy takes anyway, which max_pages limits.
_UNCOUNTED_BYTES = 512


@frozen_for_mypy
class Page:
    """The copy of one HTML response of the application. One is made for each captured page, so that must cost little.

    :ivar token: the unguessable name of the copy.
    :ivar url: the URL of the visitor's request, with scheme and host.
    :ivar method: the request's method.
    :ivar status: the response's status code.
    :ivar content_type: the value of ``Content-Type`` as received; empty if there was none.
    :ivar captured_at: when the response head arrived, in seconds since the epoch.
    :ivar body: the bytes, content coding decoded, masked and excluded parts removed.
    :param sha256: SHA-256 of ``body``, 32 bytes; empty if it is not computed yet.
    :ivar kept_at: when another node first stored the copy, in seconds since the epoch; None if no node did.
    :ivar head: the head of the application's response (:mod:`lbcompanion.protocol.response_heads`); empty if it was not
        kept.
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
    head: bytes = field(default=b"", repr=False)

    @property
    def sha256(self) -> bytes:
        """SHA-256 of ``body``, 32 bytes. Computed at the first access: a copy that is never fetched needs no digest."""
        if not self._sha256:
            object.__setattr__(self, "_sha256", sha256(self.body).digest())  # mypy refuses an assignment
        return self._sha256

    @property
    def size(self) -> int:
        """The bytes that count towards a store's ``max_bytes``: those of body and head, and of a long URL or type."""
        long = len(self.url) + len(self.content_type) - _UNCOUNTED_BYTES
        size = len(self.body) + len(self.head)
        return size + long if long > 0 else size


#: The attributes of :class:`Page` except the body, its digest, the head and the time of storing. Stores keep them, and
#: nodes and processes send them, under these names.
PAGE_METADATA = ("token", "url", "method", "status", "content_type", "captured_at")


@frozen
class Miss:
    """The reason why there is no copy.

    :ivar detail: a sentence for people; empty if the reason suffices.
    :ivar owner: the owner's node name, for ``misrouted`` only.
    """

    reason: MissReason
    detail: str = ""
    owner: str = ""


@frozen
class RoutingCookie:
    """A cookie that the balancer uses to choose the node, reduced to its routing part.

    :ivar value: the raw value to send, never decoded or quoted. Not shown in ``repr``.
    """

    name: str
    value: str = field(repr=False)


class NoticeSource(Enum):
    """The sender of the notice of a page view: the browser's script, or the node itself."""

    BROWSER = "browser"
    SERVER = "server"


@frozen
class Notice:
    """ "This copy was viewed", as a node sends it to the crawler.

    :ivar url: the page's URL as the browser sent it; never trusted, never fetched.
    :ivar cookies: routing cookies only: name to routing part.
    :ivar viewed_at: time of the view by the browser's clock, in seconds since the epoch.
    :ivar noticed_at: when the node received the notice, in seconds since the epoch.
    :ivar page_url: the copy's URL if the node knows it, else empty.
    :ivar source: the browser, or the node itself.
    :ivar visitor: the visitor's pseudonym, made from the visitor cookie; empty without that cookie.
    :ivar sender: a pseudonym of the request's sender, only for counting visitors; empty if unknown.
    """

    token: str
    url: str
    cookies: Mapping[str, str] = field(repr=False)
    viewed_at: float
    noticed_at: float
    page_url: str = ""
    source: NoticeSource = NoticeSource.BROWSER
    visitor: str = field(default="", repr=False)
    sender: str = field(default="", repr=False)


class LossCode(Enum):
    """Why a page is lost. The value is the text on the wire, in the API and in the log; :meth:`LossReason.of` fills in
    the names in braces.
    """

    EXPIRED = MissReason.EXPIRED.value
    PULLED = MissReason.PULLED.value
    EVICTED = MissReason.EVICTED.value
    #: The owner answered that it has no such copy.
    UNKNOWN = "unknown at its owner {owner}"
    NO_ANSWER = "no answer from {owner} within {seconds:g} s: last {last}"
    #: As NO_ANSWER, if the time sufficed for one round only.
    NO_ANSWER_IN_ONE_ROUND = "no answer from {owner}: last {last}"
    NO_ROUND_ENDED = "no answer"
    NO_SITE = "no site for this address"
    SITE_NOT_CONFIGURED = "its site is not configured"
    #: The page's address is that of its visitor's request: it may name anything.
    BAD_ADDRESS = "its address is not a valid URL"
    FOREIGN_ADDRESS = "its address is of {origin}, which is not an origin of the site {site}"
    #: Answers came, but none with a copy that can be used: asking again would only transfer it again.
    NO_USABLE_ANSWER = "no usable answer from {owner} in {tries} tries: last {last}"
    NOT_RECORDABLE = "cannot be archived: {why}"
    #: The node that had the copy stopped.
    NO_PEERS = "the node stopped, and it has no peers that could keep the copy"
    NO_PEER_TOOK = "the node stopped, and no peer took the copy"
    NO_TIME = "the node stopped before there was time to give the copy to a peer"
    NOT_TAKEN_OVER = "the node stopped, and the process that took its place did not get the copy"
    SPOOL_FULL = "the node had no room for more notices"
    #: A text from the wire that is not one of the others: from a node of another version.
    OTHER = "{words}"

    @property
    def label(self) -> str:
        """A few words without details, for counts."""
        return self.name.lower().replace("_", " ")


@frozen
class LossReason:
    """Why one page is lost.

    :ivar text: the text for people.
    """

    code: LossCode
    text: str

    @classmethod
    def of(cls, code: LossCode, **details: str | float) -> LossReason:
        """Make the reason for a code.

        :param details: the values of the names in braces.
        """
        return cls(code, code.value.format(**details))

    @classmethod
    def read(cls, text: str) -> LossReason:
        """Read the text of a reason that was sent or stored."""
        code = _CODE_OF.get(text, LossCode.OTHER)
        return cls(code, text)


_CODE_OF = {code.value: code for code in LossCode if "{" not in code.value}


def _reason(reason: LossReason | str) -> LossReason:
    return LossReason.read(reason) if isinstance(reason, str) else reason


@frozen
class Loss:
    """ "This copy is lost", as its node reports it to the crawler.

    :ivar reason: why it is lost; also accepts the text from the wire.
    """

    token: str
    reason: LossReason = field(converter=_reason)


class RouteKind(Enum):
    """A way to route a fetch to a given node; the order is that of the default ladder."""

    RECORDED = "recorded"
    OWN = "own"
    COMPUTED = "computed"
    DIRECT = "direct"
    ANY = "any"


#: The names of the ladder's rungs, from the top: the allowed values in a configuration, and the default.
DEFAULT_LADDER = tuple(kind.value for kind in RouteKind)


@frozen
class Attempt:
    """One attempt to fetch a copy by one route.

    :ivar route: the rung.
    :ivar node: the node that answered, with proof; empty if there was no answer or no valid proof.
    :ivar result: ``fetched`` for a copy, later replaced by ``archived`` or ``not stored``; the reason of a miss; or a
        short word for a failure (``timeout``, ``refused``, ``unproven``, ``digest``, ``status 503`` ...).
    :ivar ms: the duration in milliseconds.
    :ivar learnt: what the attempt showed about routes, as text for people, without cookie values.
    """

    route: RouteKind
    node: str
    result: str
    ms: float
    learnt: str = ""


class Verdict(Enum):
    """The final state of a notice."""

    ARCHIVED = "archived"
    LOST = "lost"
