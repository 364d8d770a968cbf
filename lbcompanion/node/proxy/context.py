"""What all connections of one process share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from attrs import define, field, frozen
from twisted.internet.defer import Deferred

from lbcompanion.http1.heads import Field, RequestHead, ResponseHead
from lbcompanion.model import MonotonicClock
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.proxy.interface import Transport
from lbcompanion.node.proxy.upstream import UpstreamPool
from lbcompanion.settings import LimitsTable


@frozen
class InternalRequest:
    """A request that the companion answers itself.

    :ivar peer: the peer's address as text.
    :ivar scheme: ``http`` or ``https``, as the visitor's side was told.
    :ivar truncated: the body was longer than is read, and is not whole.
    """

    head: RequestHead
    body: bytes
    peer: str
    trusted: bool
    scheme: str
    truncated: bool = False


@frozen
class InternalResponse:
    """Our own answer, without ``Content-Length`` and ``Date``.

    :ivar on_sent: called once the whole answer is written.
    :ivar length: what ``Content-Length`` says of a HEAD answer whose body is not known here.
    """

    status: int
    fields: list[Field]
    body: bytes = b""
    on_sent: Callable[[], None] | None = None
    length: int | None = None


class InternalHandler(Protocol):
    """Who answers what stands below the prefix."""

    def answer(self, request: InternalRequest) -> Deferred[InternalResponse]:
        """Answer; an exception or a failure becomes 500."""
        ...

    def max_body_bytes(self, request: InternalRequest) -> int:
        """How long a body is worth reading of a ``PUT`` whose head this is; 0: it is refused without."""
        ...


class Pipeline(Protocol):
    """Changes a body on its way to the visitor. Never raises: what goes wrong inside fails open."""

    def feed(self, data: bytes) -> bytes:
        """Body bytes as the application sent them, chunking undone; what the visitor gets for them."""
        ...

    def finish(self) -> bytes:
        """The body was whole; the last bytes for the visitor."""
        ...

    def written(self) -> None:
        """The visitor's last byte was handed to the transport: time for work that must not delay it."""
        ...

    def abort(self, why: str) -> None:
        """The body will not be whole (``visitor left``, ``application broke off``)."""
        ...

    def transform_whole(self, data: bytes) -> list[bytes]:
        """The body came in one piece: ``feed`` and ``finish`` at once; what the visitor gets, in pieces."""
        ...

    @property
    def same_length(self) -> bool:
        """Whether the body passes unchanged, so that its length and digests stay true."""
        ...


@define
class ResponsePlan:
    """What policy makes of a response.

    :ivar lines: the field lines for the visitor, each with its line end, hop-by-hop ones and Content-Length left out.
    :ivar pipeline: None: the body passes as it is.
    :ivar replacement: an answer of ours instead of the application's (robots.txt where it has none).
    """

    lines: bytes
    pipeline: Pipeline | None = None
    replacement: InternalResponse | None = None


class ExchangePlan(Protocol):
    """What policy decided about one request, before the application saw it."""

    def request_lines(self) -> bytes:
        """The field lines for the application, each with its line end, hop-by-hop ones and framing left out."""
        ...

    def plan_response(self, head: ResponseHead) -> ResponsePlan:
        """Decide about the answer. Never raises."""
        ...


class Connection(Protocol):
    """A visitor's connection, as whoever looks after all of them sees it."""

    transport: Transport

    def tick(self, now: float) -> None:
        """Look at deadlines."""
        ...

    def close_if_idle(self) -> None:
        """Close where nothing runs."""
        ...


@define
class ProxyContext:
    """The shared things, and the few facts that the hot path asks again and again.

    :ivar trusts: whether a peer is one of ``trusted_proxies``.
    :ivar connections: those that count.
    :ivar internal_suffixes: how the paths end that are answered below a page's folder: of its script and of its notice.
    :ivar rejected: those that were told that there are too many, and may still be sending.
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
    draining: bool = False
    connections: set[Connection] = field(factory=set)
    rejected: set[Connection] = field(factory=set)
    per_address: dict[str, int] = field(factory=dict)
    internal_suffixes: tuple[bytes, ...] = field(init=False)

    @internal_suffixes.default
    def _internal_suffixes(self) -> tuple[bytes, ...]:
        return tuple(b"/-%b/%b" % (self.prefix, name) for name in (b"fetch-from", b"notice"))

    def tick(self, now: float) -> None:
        """Have all connections look at their deadlines; an error in one keeps no other from it."""
        for connection in (*self.connections, *self.rejected):
            try:
                connection.tick(now)
            except Exception as error:
                self.counters.failed_open[f"tick: {type(error).__name__}"] += 1
