"""An exchange that the companion answers itself: everything below the prefix."""

from __future__ import annotations

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from lbcompanion.http1.heads import Field, RequestHead
from lbcompanion.node.proxy.answers import internal_error, write_answer
from lbcompanion.node.proxy.context import Hub, LocalAnswer, LocalRequest
from lbcompanion.node.proxy.interface import VisitorSide
from lbcompanion.protocol.notices import BROWSER_LIMIT_BYTES

#: The largest body that is read of a request for us, but for a copy that a peer puts: a notice.
MAX_BODY = BROWSER_LIMIT_BYTES


class LocalExchange:
    """One request for us: its body is collected (bounded), the answer may take its time."""

    __slots__ = ("_answering", "_body", "_full", "_has_body", "_head", "_hub", "_most", "_size", "_visitor", "begun")

    def __init__(self, visitor: VisitorSide, hub: Hub, head: RequestHead, has_body: bool) -> None:
        self._has_body = has_body
        self._visitor: VisitorSide | None = visitor
        self._hub = hub
        self._head = head
        self._body: list[bytes] = []
        self._size = 0
        self._most = MAX_BODY
        self._answering: Deferred[LocalAnswer] | None = None
        self._full = False
        self.begun = False

    def start(self) -> None:
        """Begin; a request without a body is answered at once."""
        visitor = self._visitor
        assert visitor is not None
        most = MAX_BODY
        if self._has_body and self._head.method == b"PUT":
            # Only who may put is listened to for longer than a notice takes.
            most = self._hub.local.most_body(self._request(visitor))
        self._most = most or MAX_BODY
        if self._head.get(b"expect") is not None and self._head.version == 11:
            if not most:
                self._full = True
                self._answer()
                return
            visitor.link.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self._has_body:
            self.body_end([])

    def body(self, data: bytes) -> None:
        """Keep what is within bounds; a longer body is cut there, and answered at once."""
        if self._full:
            return
        room = self._most - self._size
        self._size += len(data)
        if len(data) <= room:
            self._body.append(data)
        else:
            self._full = True
            self._body.append(data[:room])
            self._answer()

    def body_end(self, trailers: list[Field]) -> None:
        """The request is whole."""
        if not self._full:
            self._answer()

    def _answer(self) -> None:
        visitor = self._visitor
        assert visitor is not None
        self._answering = maybeDeferred(self._hub.local.answer, self._request(visitor))
        self._answering.addErrback(self._failed)
        self._answering.addCallback(self._write)
        self._answering.addErrback(self._unwritten)

    def _request(self, visitor: VisitorSide) -> LocalRequest:
        return LocalRequest(
            self._head,
            b"".join(self._body),
            visitor.peer,
            visitor.trusted,
            visitor.scheme(self._head),
            self._full,
        )

    def _failed(self, failure: Failure) -> LocalAnswer:
        self._hub.counters.failed_open["endpoint"] += 1
        self._hub.log("endpoint failed", failure.type.__name__ if failure.type else "")
        return internal_error()

    def _unwritten(self, failure: Failure) -> None:
        self._hub.log("answer not written", failure.type.__name__ if failure.type else "")
        if self._visitor is not None:
            visitor, self._visitor = self._visitor, None
            visitor.broken()

    def _write(self, answer: LocalAnswer) -> None:
        visitor = self._visitor
        if visitor is None:
            return
        self._hub.counters.responses[answer.status] += 1
        keep_alive = visitor.keep_alive
        visitor.link.write(write_answer(answer, self._head, keep_alive, dated=True))
        self._visitor = None
        try:
            if answer.sent is not None:
                answer.sent()
        finally:
            visitor.done(keep_alive)

    def has_moved(self) -> bool:
        """Our own answers are one write."""
        return False

    def visitor_full(self) -> None:
        """Nothing to slow down: the answer is one write."""

    def visitor_drained(self) -> None:
        """Nothing to speed up."""

    def visitor_lost(self) -> None:
        """Nobody is left to answer; the work goes on to its end and is thrown away."""
        self._visitor = None

    def tick(self, now: float) -> None:
        """Endpoints keep deadlines of their own."""
