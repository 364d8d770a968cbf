"""Exchanges that the companion answers itself: requests below the prefix."""

from __future__ import annotations

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from lbcompanion.http1.heads import Field, RequestHead
from lbcompanion.node.proxy.answers import internal_error, write_response
from lbcompanion.node.proxy.context import InternalRequest, InternalResponse, ProxyContext
from lbcompanion.node.proxy.interface import VisitorSide
from lbcompanion.protocol.notices import BROWSER_LIMIT_BYTES

#: The body limit of internal requests (that of a notice); the PUT of a copy has its own limit.
MAX_INTERNAL_BODY_BYTES = BROWSER_LIMIT_BYTES


class InternalExchange:
    """One internal request: collects its body up to a limit and answers asynchronously."""

    __slots__ = (
        "_body",
        "_body_truncated",
        "_context",
        "_has_body",
        "_head",
        "_max_body_bytes",
        "_pending_response",
        "_size",
        "_visitor",
        "response_started",
    )

    def __init__(self, visitor: VisitorSide, context: ProxyContext, head: RequestHead, *, has_body: bool) -> None:
        self._has_body = has_body
        self._visitor: VisitorSide | None = visitor
        self._context = context
        self._head = head
        self._body: list[bytes] = []
        self._size = 0
        self._max_body_bytes = MAX_INTERNAL_BODY_BYTES
        self._pending_response: Deferred[InternalResponse] | None = None
        self._body_truncated = False
        self.response_started = False

    def start(self) -> None:
        """Start; a request without a body is answered at once."""
        visitor = self._visitor
        assert visitor is not None
        max_bytes = MAX_INTERNAL_BODY_BYTES
        if self._has_body and self._head.method == b"PUT":
            # A longer body is read only from callers that may PUT copies.
            max_bytes = self._context.internal_handler.max_body_bytes(self._request(visitor))
        self._max_body_bytes = max_bytes or MAX_INTERNAL_BODY_BYTES
        if self._head.get(b"expect") is not None and self._head.version == 11:
            if not max_bytes:
                self._body_truncated = True
                self._respond()
                return
            visitor.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self._has_body:
            self.body_end([])

    def body(self, data: bytes) -> None:
        """Collect up to the limit; a longer body is truncated and answered at once."""
        if self._body_truncated:
            return
        room = self._max_body_bytes - self._size
        self._size += len(data)
        if len(data) <= room:
            self._body.append(data)
        else:
            self._body_truncated = True
            self._body.append(data[:room])
            self._respond()

    def body_end(self, trailers: list[Field]) -> None:
        """Answer the complete request."""
        if not self._body_truncated:
            self._respond()

    def _respond(self) -> None:
        visitor = self._visitor
        assert visitor is not None
        self._pending_response = maybeDeferred(self._context.internal_handler.answer, self._request(visitor))
        self._pending_response.addErrback(self._handler_failed)
        self._pending_response.addCallback(self._write)
        self._pending_response.addErrback(self._write_failed)

    def _request(self, visitor: VisitorSide) -> InternalRequest:
        return InternalRequest(
            self._head,
            b"".join(self._body),
            visitor.peer,
            visitor.trusted,
            visitor.scheme(self._head),
            self._body_truncated,
        )

    def _handler_failed(self, failure: Failure) -> InternalResponse:
        self._context.counters.failed_open["endpoint"] += 1
        self._context.log("endpoint failed", failure.type.__name__ if failure.type else "")
        return internal_error()

    def _write_failed(self, failure: Failure) -> None:
        self._context.log("answer not written", failure.type.__name__ if failure.type else "")
        if self._visitor is not None:
            visitor, self._visitor = self._visitor, None
            visitor.abort_response()

    def _write(self, answer: InternalResponse) -> None:
        visitor = self._visitor
        if visitor is None:
            return
        self._context.counters.responses[answer.status] += 1
        keep_alive = visitor.keep_alive
        date_line = self._context.date_line()
        visitor.transport.write(write_response(answer, self._head, keep_alive=keep_alive, date_line=date_line))
        self._visitor = None
        try:
            if answer.on_sent is not None:
                answer.on_sent()
        finally:
            visitor.end_exchange(keep_alive=keep_alive)

    def made_progress(self) -> bool:
        """Return False: the response is one write."""
        return False

    def visitor_full(self) -> None:
        """Ignore it: the response is one write."""

    def visitor_drained(self) -> None:
        """Ignore it: nothing was paused."""

    def visitor_lost(self) -> None:
        """Drop the response; a handler that still runs is not cancelled."""
        self._visitor = None

    def tick(self, now: float) -> None:
        """Do nothing: the endpoints have their own deadlines."""
