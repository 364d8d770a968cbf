"""Parts for twisted.web and treq that node, crawler and demo share."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss, Request
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from twisted.web.server import Site
from zope.interface import implementer

from lbcompanion.errors import CompanionError


class QuietSite(Site):
    """A site without an access log: paths here contain whole tokens, and no log may contain one.

    It does not log that it starts or stops either, and its error pages show no traceback.
    """

    noisy = False
    displayTracebacks = False

    def log(self, request: Request) -> None:
        """Write no line."""


@implementer(IBodyProducer)
class BytesProducer:
    """A request body that is written at once. treq's own producer schedules its copying on the global reactor."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Write the whole body."""
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Do nothing: the body is written."""

    def resumeProducing(self) -> None:
        """Do nothing: the body is written."""

    def stopProducing(self) -> None:
        """Do nothing: the body is written."""


class BodyTooLarge(CompanionError):
    """A response's body is longer than what was asked for may be."""


def read_body(response: Any, max_bytes: int) -> Deferred[bytes]:
    """Read a response's body whole, and no more of it than is allowed.

    :param response: of an Agent, or of treq with ``unbuffered=True``.
    :param max_bytes: bytes.
    :returns: fails with :class:`BodyTooLarge`, or with what ended the body before its end. The connection is closed
        then, and where the Deferred is cancelled.
    """
    if response.length is not UNKNOWN_LENGTH and response.length > max_bytes:
        abort_body(response)
        return fail(BodyTooLarge())
    reading = _BoundedBodyProtocol(max_bytes)
    response.deliverBody(reading)
    return reading.done


def abort_body(response: Any) -> None:
    """Close the connection of a response that nobody will read."""
    response.deliverBody(_AbortingProtocol())


class _AbortingProtocol(Protocol):
    def connectionMade(self) -> None:
        _abort(self.transport)


def _abort(transport: Any) -> None:
    abort = getattr(transport, "abortConnection", None) or getattr(transport, "loseConnection", None)
    if abort is not None:
        abort()


class _BoundedBodyProtocol(Protocol):
    """Gathers a body up to a bound; anything but a proper end fails."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []
        self._size = 0
        self.done: Deferred[bytes] = Deferred(lambda _d: _abort(self.transport))

    def dataReceived(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= self._max_bytes:
            self._parts.append(data)
            return
        self._parts.clear()
        if not self.done.called:
            self.done.errback(BodyTooLarge())
            _abort(self.transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        # A body that ends with the connection may have been cut short (RFC 9112 section 8): a digest will tell.
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(b"".join(self._parts))
        else:
            self._parts.clear()
            self.done.errback(reason)
