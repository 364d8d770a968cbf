"""The exchange of a usual request: one object for each visitor connection, used again. No I/O.

It saves most of the time that :class:`~lbcompanion.node.proxy.exchange.Exchange` needs for a message, and decides
nothing itself: a :class:`UsualPath` knows how the same kind of message was handled before. Whatever is not usual
continues as an :class:`Exchange`, with the same bytes: a request without a free connection, a response in several
pieces, an error, a deadline.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from lbcompanion.http1.framing import NO_BODY
from lbcompanion.http1.heads import Field, read_request_head
from lbcompanion.node.proxy.context import ProxyContext
from lbcompanion.node.proxy.exchange import Exchange
from lbcompanion.node.proxy.interface import UsualVisitor, VisitorSide
from lbcompanion.node.proxy.upstream import UpstreamConnection

_Request = TypeVar("_Request")
_Copy = TypeVar("_Copy")


class UsualPath(Protocol[_Request, _Copy]):
    """Rewrites usual messages as the Python machine rewrote others of their kind."""

    def request(self, data: bytes, visitor: VisitorSide, connection: bytes) -> tuple[bytes, _Request] | None:
        """The head for the application, and what :meth:`response` needs; None if the request is not usual.

        :param connection: a key of what matters about the visitor's connection, other than its bytes.
        """
        ...

    def response(self, request: _Request, data: bytes) -> tuple[bytes, _Copy | None] | None:
        """The whole response for the visitor, and the copy to finish, if any; None if the response is not usual.

        Nothing is counted if it returns None."""
        ...

    def finish(self, copy: _Copy) -> None:
        """Store a copy, after the response was written. Never raises."""
        ...


class UsualExchange(Generic[_Request, _Copy]):
    """The usual exchanges of one visitor connection, one after another.

    :param connection: see :meth:`UsualPath.request`.
    """

    __slots__ = (
        "_connection",
        "_context",
        "_data",
        "_deadline",
        "_path",
        "_request",
        "_sent",
        "_upstream",
        "_visitor",
    )

    response_started = False

    def __init__(
        self, path: UsualPath[_Request, _Copy], visitor: UsualVisitor, context: ProxyContext, connection: bytes
    ) -> None:
        self._visitor = visitor
        self._context = context
        self._path = path
        self._connection = connection
        self._upstream: UpstreamConnection | None = None
        self._data = self._sent = b""
        self._request: _Request | None = None
        self._deadline = 0.0

    def takes(self, data: bytes) -> bool:
        """Whether these bytes are a usual request, for which a connection to the application is free.

        If so, the connection is taken, and :meth:`start` has to follow."""
        pool = self._context.upstream_pool
        if not pool.has_idle_for(self._visitor):
            return False
        usual = self._path.request(data, self._visitor, self._connection)
        if usual is None:
            return False
        self._data = data
        self._sent, self._request = usual
        self._upstream = pool.take_idle(self)
        return True

    def start(self) -> None:
        upstream = self._upstream
        assert upstream is not None
        assert upstream.transport is not None
        self._deadline = self._context.monotonic() + self._context.limits.upstream_seconds
        upstream.transport.write(self._sent)

    def response_data(self, data: bytes) -> None:
        visitor, upstream, request = self._visitor, self._upstream, self._request
        assert upstream is not None
        assert request is not None
        # Another request may not follow: the response has a field more.
        usual = self._path.response(request, data) if visitor.keep_alive else None
        if usual is None:
            self._as_exchange().response_data(data)
            return
        response, copy = usual
        context = self._context
        context.counters.responses[200] += 1
        context.counters.usual_responses += 1
        # A full queue must not pause the connection to the application, whose response is read.
        self._clear()
        visitor.transport.write(response)
        context.upstream_pool.release(upstream)
        visitor.end_exchange(keep_alive=True)
        if copy is not None:
            self._path.finish(copy)

    def _clear(self) -> None:
        self._upstream = self._request = None
        self._data = self._sent = b""

    def _as_exchange(self) -> Exchange:
        """Hand over to the exchange that can handle everything."""
        visitor, context, upstream = self._visitor, self._context, self._upstream
        assert upstream is not None
        head = read_request_head(self._data, context.limits.header_lines)
        exchange = Exchange.resumed(
            visitor, context, head, NO_BODY, upstream=upstream, sent=self._sent, deadline=self._deadline
        )
        if not upstream.closed:
            upstream.user = exchange
        self._clear()
        visitor.continue_exchange(exchange)
        return exchange

    # Called by the connection to the application.

    def upstream_dequeued(self) -> None:
        raise AssertionError("a usual request never waits in the queue")

    def upstream_ready(self, upstream: UpstreamConnection) -> None:
        raise AssertionError("a usual request has a connection that is established")

    def upstream_failed(self, why: str) -> None:
        raise AssertionError("a usual request has a connection that is established")

    def response_end(self, *, orderly: bool) -> None:
        self._as_exchange().response_end(orderly=orderly)

    def upstream_full(self) -> None:
        self._as_exchange().upstream_full()

    def upstream_drained(self) -> None:
        self._as_exchange().upstream_drained()

    # Called by the visitor's connection.

    def body(self, data: bytes) -> None:
        raise AssertionError("a usual request has no body")

    def body_end(self, trailers: list[Field]) -> None:
        raise AssertionError("a usual request has no body")

    def visitor_full(self) -> None:
        if self._upstream is not None:
            self._as_exchange().visitor_full()

    def visitor_drained(self) -> None:
        if self._upstream is not None:
            self._as_exchange().visitor_drained()

    def visitor_lost(self) -> None:
        """Close the connection to the application: no visitor waits for its response."""
        upstream = self._upstream
        self._clear()
        if upstream is not None:
            upstream.discard()

    def made_progress(self) -> bool:
        return False

    def tick(self, now: float) -> None:
        if now > self._deadline:
            self._as_exchange().tick(now)
