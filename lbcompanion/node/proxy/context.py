"""The objects that all visitor connections of one process share, and the protocols between them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Protocol

from attrs import define, field, frozen
from twisted.internet.defer import Deferred

from lbcompanion.http1.heads import Field, RequestHead, ResponseHead
from lbcompanion.model import MonotonicClock
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.proxy.dates import DateLine
from lbcompanion.node.proxy.interface import Transport, UsualExchangeInterface, UsualVisitor
from lbcompanion.node.proxy.upstream import UpstreamPool
from lbcompanion.protocol import headers
from lbcompanion.settings import LimitsTable

# How many connections are checked in one step; a connection over TLS takes 3 us.
_TICKED_AT_ONCE = 500


@frozen
class InternalRequest:
    """A request that the companion answers itself.

    :ivar peer: the peer's address as text.
    :ivar scheme: ``http`` or ``https``, the scheme of the visitor's connection.
    :ivar truncated: whether the body was longer than the limit and ``body`` is only its beginning.
    """

    head: RequestHead
    body: bytes
    peer: str
    trusted: bool
    scheme: str
    truncated: bool = False


@frozen
class InternalResponse:
    """A response of the companion itself, without ``Content-Length`` and ``Date``.

    :ivar on_sent: called after the whole response is written.
    :ivar length: the ``Content-Length`` of a HEAD response whose body is unknown here.
    """

    status: int
    fields: list[Field]
    body: bytes = b""
    on_sent: Callable[[], None] | None = None
    length: int | None = None


class InternalHandler(Protocol):
    """Answers requests below the prefix."""

    def answer(self, request: InternalRequest) -> Deferred[InternalResponse]:
        """Answer a request; an exception or a failure becomes 500."""
        ...

    def max_body_bytes(self, request: InternalRequest) -> int:
        """The body limit of a ``PUT`` with this head, in bytes; 0 refuses the request before its body."""
        ...


class Pipeline(Protocol):
    """Transforms a response body on its way to the visitor. Never raises: errors fail open."""

    def feed(self, data: bytes) -> bytes:
        """Take body bytes (after the chunked coding is removed) and return the bytes for the visitor."""
        ...

    def finish(self) -> bytes:
        """End a complete body; return the last bytes for the visitor."""
        ...

    def written(self) -> None:
        """Called after the last byte was written: work that must not delay the visitor is done here."""
        ...

    def abort(self, why: str) -> bytes:
        """The body stays incomplete for this reason (``visitor left``, ``application broke off``).

        :returns: the bytes that were held back, for a visitor who is still there.
        """
        ...

    def transform_whole(self, data: bytes) -> list[bytes]:
        """``feed`` and ``finish`` for a body in one piece; return the bytes for the visitor in pieces."""
        ...

    @property
    def same_length(self) -> bool:
        """Whether the body passes unchanged, so that its length and digests stay valid."""
        ...

    @property
    def broken(self) -> str:
        """Why the response has to be cut after the bytes returned last; empty if it goes on.

        Never set by ``transform_whole``, nor by calls that return the first bytes of a body.
        """
        ...


@define
class ResponsePlan:
    """How a response is passed on.

    :ivar lines: the field lines for the visitor, each with its line end, hop-by-hop ones and Content-Length left out.
    :ivar pipeline: transforms the body; None passes it unchanged.
    :ivar replacement: an internal response that replaces the application's (a missing robots.txt).
    """

    lines: bytes
    pipeline: Pipeline | None = None
    replacement: InternalResponse | None = None


class ExchangePlan(Protocol):
    """The decisions about one request and its response."""

    def request_lines(self) -> bytes:
        """The field lines for the application, each with its line end, hop-by-hop ones and framing left out."""
        ...

    def plan_response(self, head: ResponseHead) -> ResponsePlan:
        """Decide how the response is passed on. Never raises."""
        ...


class Connection(Protocol):
    """A visitor's connection, as the service's timer and drain use it."""

    transport: Transport

    def tick(self, now: float) -> None:
        """Look at deadlines."""
        ...

    def close_if_idle(self) -> None:
        """Close unless an exchange is running."""
        ...


@define
class ProxyContext:
    """The shared objects and the settings that the hot path reads.

    :ivar trusts: whether a peer is one of ``trusted_proxies``.
    :ivar connections: the registered connections, which count towards the limits.
    :ivar internal_suffixes: path suffixes that are answered below any folder: of the script and of the notice.
    :ivar node_id: names this node in ``Lbc-Forwarded-By``; the same in all its processes.
    :ivar date_line: returns the ``Date`` field line.
    :ivar forwarded_by_line: the field line that marks a request as forwarded by this node.
    :ivar rejected: connections over the limit that got a 503 and may still be sending.
    :ivar new_usual_exchange: makes the object for the usual exchanges of a visitor's connection; None if the compiled
        part is missing, or if the settings need more than it does.
    """

    limits: LimitsTable
    prefix: bytes
    trusts: Callable[[str], bool]
    upstream_pool: UpstreamPool
    internal_handler: InternalHandler
    plan: Callable[[RequestHead, str, bool, str], ExchangePlan]
    counters: Counters
    monotonic: MonotonicClock
    log: Callable[[str, str], None] = field(default=lambda event, detail: None)
    node_id: bytes = b"-"
    date_line: Callable[[], bytes] = field(factory=lambda: DateLine(time.time))
    draining: bool = False
    new_usual_exchange: Callable[[UsualVisitor, ProxyContext, bytes], UsualExchangeInterface] | None = None
    connections: set[Connection] = field(factory=set)
    rejected: set[Connection] = field(factory=set)
    per_address: dict[str, int] = field(factory=dict)
    internal_suffixes: tuple[bytes, ...] = field(init=False)
    forwarded_by_line: bytes = field(init=False)

    @internal_suffixes.default
    def _internal_suffixes(self) -> tuple[bytes, ...]:
        return tuple(b"/-%b/%b" % (self.prefix, name) for name in (b"fetch-from", b"notice"))

    @forwarded_by_line.default
    def _forwarded_by_line(self) -> bytes:
        return b"%b: %b\r\n" % (headers.FORWARDED_BY.written, self.node_id)

    def tick_in_parts(self, now: float) -> Iterator[None]:
        """Check the deadlines of some connections at each step, so that other work can be done between two steps.

        An error in one connection does not affect the others.
        """
        connections = (*self.connections, *self.rejected)
        for start in range(0, len(connections), _TICKED_AT_ONCE):
            if start:
                yield
            for connection in connections[start : start + _TICKED_AT_ONCE]:
                if start and connection not in self.connections and connection not in self.rejected:
                    continue  # It was closed meanwhile.
                try:
                    connection.tick(now)
                except Exception as error:
                    self.counters.failed_open[f"tick: {type(error).__name__}"] += 1
