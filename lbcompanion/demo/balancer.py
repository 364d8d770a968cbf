"""The built-in balancer, for machines without another: cookie insertion as HAProxy's ``cookie NAME insert`` does it.

A request goes to the node that its cookie names; else to the next one in turn, and the answer sets the cookie. One
connection for each request towards the nodes. For demonstrations, not for the open Internet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import SEEK_END
from itertools import cycle
from typing import BinaryIO

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import FileBodyProducer, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IResponse
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from lbcompanion.demo.backends import Backend
from lbcompanion.web import QuietSite

#: Fields that belong to one connection (RFC 9110 section 7.6.1) or that are generated here.
_CONNECTION_FIELDS = frozenset(
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade content-length expect".split()
)
#: Methods that may be sent a second time when the first try broke off (RFC 9110 section 9.2.2).
_REPEATABLE = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE"))


class DemoBalancer(Resource):
    """Forwards every request to a backend.

    :param agent: reaches the backends.
    :param cookie: the name of the routing cookie.
    :param httponly: hide the cookie from scripts.
    :param indirect: hide the cookie from the nodes.
    """

    isLeaf = True

    def __init__(
        self,
        backends: Sequence[Backend],
        agent: IAgent,
        cookie: str = "SRV",
        *,
        httponly: bool = False,
        indirect: bool = False,
    ) -> None:
        Resource.__init__(self)
        self._backends = {backend.name: backend for backend in backends}
        self._round_robin: Iterator[Backend] = cycle(backends)
        self._agent = agent
        self._cookie = cookie.encode()
        self._httponly = httponly
        self._indirect = indirect

    def site(self) -> Site:
        """The factory to listen with."""
        return QuietSite(self)  # type: ignore[no-untyped-call]

    def cookie_backend(self, request: Request) -> Backend | None:
        """Return the backend that the request's cookie names, up or down."""
        value = request.getCookie(self._cookie)
        return None if value is None else self._backends.get(value.decode("latin-1"))

    def choose(self, request: Request, tried: frozenset[str]) -> Backend | None:
        """Choose a backend: the cookie's if it is up, else the next by round robin; None if all are down."""
        cookie_backend = self.cookie_backend(request)
        if cookie_backend is not None and cookie_backend.up and cookie_backend.name not in tried:
            return cookie_backend
        candidates = (next(self._round_robin) for _ in self._backends)
        return next((candidate for candidate in candidates if candidate.up and candidate.name not in tried), None)

    def render(self, request: Request) -> int:
        """Forward one request."""
        _Exchange(self, request).start()
        return NOT_DONE_YET

    def send_to(self, request: Request, backend: Backend) -> Deferred[IResponse]:
        """Send the request to a backend."""
        content = _content(request)
        length = content.seek(0, SEEK_END)
        content.seek(0)
        # A DELETE without content bears no Content-Length, a POST does (RFC 9110 section 8.6).
        body = FileBodyProducer(content) if length else None
        uri = b"http://" + backend.address.encode() + request.uri
        return self._agent.request(request.method, uri, self._forwarded_headers(request), body)

    def _forwarded_headers(self, request: Request) -> Headers:
        """Return the header fields of the forwarded request."""
        headers = _end_to_end(request.requestHeaders)
        if self._indirect:
            cookie_lines = [_without_cookie(line, self._cookie) for line in headers.getRawHeaders(b"cookie", [])]
            headers.setRawHeaders(b"cookie", [line for line in cookie_lines if line])
            if not any(cookie_lines):
                headers.removeHeader(b"cookie")
        address = getattr(request.getClientAddress(), "host", "")
        headers.addRawHeader(b"X-Forwarded-For", address.encode())
        headers.setRawHeaders(b"X-Forwarded-Proto", [b"https" if request.isSecure() else b"http"])
        return headers

    def set_cookie_line(self, request: Request, backend: Backend) -> bytes:
        """Return the ``Set-Cookie`` value for a response of this backend; empty if the visitor has the cookie."""
        if self.cookie_backend(request) is backend:
            return b""
        line = self._cookie + b"=" + backend.name.encode() + b"; path=/"
        return line + b"; HttpOnly" if self._httponly else line


class _Exchange:
    """One request and its response."""

    def __init__(self, balancer: DemoBalancer, request: Request) -> None:
        self._balancer = balancer
        self._request = request
        self._response: Deferred[IResponse] | None = None
        self._upstream: IPushProducer | None = None
        self._visitor_gone = False
        request.notifyFinish().addErrback(self._visitor_left)

    def start(self, tried: frozenset[str] = frozenset()) -> None:
        backend = self._balancer.choose(self._request, tried)
        if backend is None:
            self._refuse(503 if not tried else 502)
            return
        self._response = self._balancer.send_to(self._request, backend)
        self._response.addCallbacks(
            self._on_response, self._on_failure, callbackArgs=(backend,), errbackArgs=(backend, tried | {backend.name})
        )
        self._response.addErrback(self._on_error)

    def _visitor_left(self, _: Failure) -> None:
        self._visitor_gone = True
        if self._upstream is not None:
            self._upstream.stopProducing()
        elif self._response is not None:
            self._response.cancel()

    def _on_failure(self, failure: Failure, backend: Backend, tried: frozenset[str]) -> None:
        if self._visitor_gone or failure.check(CancelledError):
            return
        unsent = failure.check(ConnectError) is not None
        if unsent:
            backend.up = False
        content = _content(self._request)
        repeatable = self._request.method in _REPEATABLE and (content.closed or content.tell() == 0)
        if unsent or repeatable:
            self.start(tried)
        else:
            self._refuse(502)

    def _refuse(self, status: int) -> None:
        self._request.setResponseCode(status)
        self._request.setHeader(b"Content-Type", b"text/plain")
        self._request.setHeader(b"Cache-Control", b"no-store")
        self._request.write(b"No node answers.\n")
        self._request.finish()

    def _on_response(self, response: IResponse, backend: Backend) -> None:
        request = self._request
        request.setResponseCode(response.code, response.phrase)
        request.defaultContentType = None
        request.responseHeaders.removeHeader(b"server")
        request.responseHeaders.removeHeader(b"date")
        for name, values in _end_to_end(response.headers).getAllRawHeaders():
            request.responseHeaders.setRawHeaders(name, values)
        sticky = self._balancer.set_cookie_line(request, backend)
        if sticky:
            request.responseHeaders.addRawHeader(b"Set-Cookie", sticky)
        lengths = response.headers.getRawHeaders(b"content-length", [])
        if request.method == b"HEAD":
            request.responseHeaders.setRawHeaders(b"content-length", lengths[:1])
        elif response.length is not UNKNOWN_LENGTH and response.code not in (204, 304):
            request.responseHeaders.setRawHeaders(b"content-length", [b"%d" % response.length])
        response.deliverBody(_BodyRelay(self))

    def on_body_start(self, upstream: IPushProducer) -> None:
        self._upstream = upstream
        if self._visitor_gone:
            upstream.stopProducing()
            return
        self._request.registerProducer(upstream, True)
        self._request.write(b"")

    def on_body_data(self, data: bytes) -> None:
        if not self._visitor_gone:
            self._request.write(data)

    def on_body_end(self, *, complete: bool) -> None:
        if self._visitor_gone:
            return
        self._request.unregisterProducer()
        if complete:
            self._request.finish()
        else:
            # The visitor must not take a truncated body for a complete one.
            self._abort()

    def _abort(self) -> None:
        transport = ITCPTransport(self._request.transport, None)
        if transport is not None:
            transport.abortConnection()

    def _on_error(self, failure: Failure) -> None:
        if not self._visitor_gone:
            self._abort()


class _BodyRelay(Protocol):
    """Relays a response's body to the visitor, with backpressure."""

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange

    def connectionMade(self) -> None:
        self._exchange.on_body_start(IPushProducer(self.transport))

    def dataReceived(self, data: bytes) -> None:
        self._exchange.on_body_data(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._exchange.on_body_end(complete=reason.check(ResponseDone, PotentialDataLoss) is not None)


def _content(request: Request) -> BinaryIO:
    """Return the request's body, which twisted.web has read completely."""
    content: BinaryIO | None = request.content
    if content is None:
        raise ValueError("a request without its body cannot be passed on")
    return content


def _end_to_end(headers: Headers) -> Headers:
    """Return the end-to-end fields (RFC 9110 section 7.6.1)."""
    cookie_backend = [
        token.strip().lower() for line in headers.getRawHeaders(b"connection", []) for token in line.split(b",")
    ]
    dropped = _CONNECTION_FIELDS.union(cookie_backend)
    return Headers({name: values for name, values in headers.getAllRawHeaders() if name.lower() not in dropped})


def _without_cookie(line: bytes, name: bytes) -> bytes:
    """Return a ``Cookie`` field value without one cookie."""
    return b"; ".join(part.strip() for part in line.split(b";") if part.partition(b"=")[0].strip() != name)
