"""Parts for twisted.web and treq that the node, the crawler and the demo share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web import http, http_headers
from twisted.web._newclient import HEADER, STATUS, HTTP11ClientProtocol, ParseError
from twisted.web.client import HTTPConnectionPool, ResponseDone, _HTTP11ClientFactory
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IResponse
from twisted.web.server import Request, Site
from zope.interface import implementer

from lbcompanion import __version__
from lbcompanion.errors import CompanionError

#: The most bytes of a response before its body; Twisted limits only the length of a line.
MAX_HEAD_BYTES = 256 * 1024
#: Names of fields up to this length are remembered by Twisted. Registered names have at most 45 bytes.
_MAX_REMEMBERED_NAME = 64
#: The value of ``User-Agent`` of all programs here.
USER_AGENT = f"lbcompanion/{__version__}"


class _ShortNames(dict[bytes | str, bytes]):
    """A cache of the names of fields in their usual case, without long names."""

    def __setitem__(self, name: bytes | str, usual: bytes) -> None:
        if len(name) <= _MAX_REMEMBERED_NAME:
            super().__setitem__(name, usual)


def _bound_remembered_names() -> None:
    """Bound the memory for names of fields.

    Twisted remembers 10,000 names of any length, from requests and responses. With names of 12 KB that was 240 MB.
    """
    encoder = http_headers._nameEncoder
    encoder._canonicalHeaderCache = _ShortNames(encoder._canonicalHeaderCache)


_bound_remembered_names()


class UnparsedRequest(Request):
    """A request whose body Twisted does not parse.

    Twisted parses forms before any handler is asked, and reads ``Content-Type`` as a field of a mail: 16 KB of quotes
    took 1.7 s of CPU time. No ``Content-Type`` means no parsing; the handlers see it again.
    """

    _content_types: Sequence[bytes] | None = None

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Answer the request, which has arrived completely."""
        self._content_types = self.requestHeaders.getRawHeaders(b"content-type")
        self.requestHeaders.removeHeader(b"content-type")
        super().requestReceived(command, path, version)  # type: ignore[no-untyped-call]

    def process(self) -> None:
        """Give the request to its resource."""
        if self._content_types is not None:
            self.requestHeaders.setRawHeaders(b"content-type", self._content_types)
        super().process()  # type: ignore[no-untyped-call]


class QuietSite(Site):
    """A site without an access log: paths here contain whole tokens, and no log may contain one.

    It does not log that it starts or stops either, its error pages show no traceback, and it parses no forms.
    """

    requestFactory = UnparsedRequest
    noisy = False
    displayTracebacks = False

    def log(self, request: http.Request) -> None:
        """Write no line."""


@implementer(IAgent)
class IdentifyingAgent:
    """An agent that adds the fields which firewalls expect of a decent client (RFC 9110 section 10.1.5).

    It also asks for answers without a content coding, in one ``Accept-Encoding`` line: treq adds one of its own.
    """

    def __init__(self, agent: Any, user_agent: str = USER_AGENT) -> None:
        self._agent = agent
        self._defaults = ((b"user-agent", user_agent.encode("ascii")), (b"accept", b"*/*"))

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: Any = None
    ) -> Deferred[IResponse]:
        """Send the request."""
        sent = headers.copy() if headers is not None else Headers()
        self.complete(sent)
        answer: Deferred[IResponse] = self._agent.request(method, uri, sent, bodyProducer)
        return answer

    def complete(self, headers: Headers) -> None:
        """Add the fields to those of a request, in place."""
        headers.setRawHeaders(b"accept-encoding", [b"identity"])
        for name, value in self._defaults:
            if not headers.hasHeader(name):
                headers.addRawHeader(name, value)


class BoundedHeadProtocol(HTTP11ClientProtocol):
    """A connection that is closed if the heads of one response, those of 1xx among them, are too long.

    :ivar max_head_bytes: the limit of one response.

    It is not used again after a response that was followed by other bytes, came in HTTP/1.0, or said ``close``:
    Twisted ignores such bytes, and reads ``Connection`` as one value in lower case.
    """

    max_head_bytes = MAX_HEAD_BYTES
    _head_bytes = 0

    def request(self, request: Any) -> Deferred[IResponse]:
        """Send a request. A kept connection gets another one after each response."""
        self._head_bytes = 0
        sending: Deferred[IResponse] = super().request(request)
        return sending

    def dataReceived(self, data: bytes) -> None:
        """Receive a piece of the response."""
        if self._is_in_head():
            self._head_bytes += len(data)
        super().dataReceived(data)  # type: ignore[no-untyped-call]
        if self._head_bytes > self.max_head_bytes and self._is_in_head():
            self._giveUp(Failure(ParseError("a head is too long", b"")))  # type: ignore[no-untyped-call]

    def _finishResponse(self, rest: bytes) -> None:
        if self._currentRequest is not None and (rest or not self._may_stay()):
            self._currentRequest.persistent = False
        super()._finishResponse(rest)

    def _may_stay(self) -> bool:
        parser = self._parser
        if parser is None or parser.response.version != (b"HTTP", 1, 1):
            return False
        lines = parser.connHeaders.getRawHeaders(b"connection")
        return not lines or b"close" not in {each.strip().lower() for line in lines for each in line.split(b",")}

    def _is_in_head(self) -> bool:
        parser = self._parser
        return parser is not None and parser.state in {STATUS, HEADER}


class BoundedHeadFactory(_HTTP11ClientFactory):
    """Limits heads, and suppresses the two log lines that Twisted writes for each connection."""

    noisy = False
    protocol_class = BoundedHeadProtocol
    max_head_bytes = MAX_HEAD_BYTES

    def buildProtocol(self, addr: Any) -> HTTP11ClientProtocol:
        """Make the protocol of a connection."""
        protocol = self.protocol_class(self._quiescentCallback)  # type: ignore[no-untyped-call]
        protocol.max_head_bytes = self.max_head_bytes
        return protocol


def connection_pool(reactor: Any, *, persistent: bool, max_head_bytes: int = MAX_HEAD_BYTES) -> HTTPConnectionPool:
    """Make the connection pool for an agent.

    :param persistent: whether a connection is used again.
    :param max_head_bytes: a response with a longer head fails.
    """
    pool = HTTPConnectionPool(reactor, persistent=persistent)

    def factory(*arguments: Any) -> BoundedHeadFactory:
        made = BoundedHeadFactory(*arguments)  # type: ignore[no-untyped-call]
        made.max_head_bytes = max_head_bytes
        return made

    pool._factory = factory  # type: ignore[assignment]  # only called
    return pool


@implementer(IBodyProducer)
class BytesProducer:
    """A request body that is written at once, unlike treq's own producer, which needs the global reactor."""

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
    """A response body exceeds the limit."""


def read_body(response: Any, max_bytes: int) -> Deferred[bytes]:
    """Read a whole response body, up to a limit.

    :param response: of an Agent, or of treq with ``unbuffered=True``.
    :param max_bytes: the limit.
    :returns: a Deferred with the body. It fails with :class:`BodyTooLarge`, or with the reason of an early end.
        After a failure, and if the Deferred is cancelled, the connection is closed.
    """
    if response.length is not UNKNOWN_LENGTH and response.length > max_bytes:
        abort_body(response)
        return fail(BodyTooLarge())
    reading = _BoundedBodyProtocol(max_bytes)
    response.deliverBody(reading)
    return reading.done


def abort_body(response: Any) -> None:
    """Close the connection of a response whose body is not wanted."""
    response.deliverBody(_AbortingProtocol())


class _AbortingProtocol(Protocol):
    def connectionMade(self) -> None:
        _abort(self.transport)


def _abort(transport: Any) -> None:
    abort = getattr(transport, "abortConnection", None) or getattr(transport, "loseConnection", None)
    if abort is not None:
        abort()


class _BoundedBodyProtocol(Protocol):
    """Collects a body up to a limit; fails unless the body ends properly."""

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
        # A body that ends with the connection may be truncated (RFC 9112 section 8): callers check its digest.
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(b"".join(self._parts))
        else:
            self._parts.clear()
            self.done.errback(reason)
