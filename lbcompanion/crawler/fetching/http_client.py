"""An HTTP client for single requests over a Twisted Agent.

No cookie jar, no redirects, no decoding, a limit for the body, one deadline for the whole response. A request has a
new connection unless it names its route; see :mod:`.kept_connections`. The caller interprets the response.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import field, frozen
from OpenSSL.SSL import Error as TlsError
from service_identity import VerificationError
from twisted.internet import ssl
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.endpoints import clientFromString, wrapClientTLS
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.error import ConnectionRefusedError as TwistedRefused
from twisted.internet.error import TimeoutError as TwistedTimeout
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.web._newclient import Request, _ensureValidURI
from twisted.web.client import (
    URI,
    Agent,
    BrowserLikePolicyForHTTPS,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IResponse
from zope.interface import implementer

from lbcompanion.crawler.fetching.kept_connections import IDLE_SECONDS, MAX_IDLE, ConnectionKey, KeptConnections
from lbcompanion.endpoints.certificates import pem_blocks
from lbcompanion.errors import CompanionError
from lbcompanion.html.urls import target_of
from lbcompanion.web import (
    MAX_HEAD_BYTES,
    USER_AGENT,
    BodyTooLarge,
    BytesProducer,
    IdentifyingAgent,
    abort_body,
    connection_pool,
    read_body,
)

CONNECT_SECONDS = 10.0

#: The word for a response whose head cannot be read.
BAD_HEAD = "bad head"
#: The word for a response whose body ended early.
CUT = "cut"
TOO_LARGE = "too large"
CODED = "coded"


class FetchFailed(CompanionError):
    """No usable response came.

    :ivar word: the short word for :attr:`lbcompanion.model.Attempt.result`.
    """

    def __init__(self, word: str) -> None:
        self.word = word
        super().__init__(word)


@frozen
class Reply:
    """A complete response.

    :ivar headers: the field lines in order, with names in lower case.
    :ivar shared: whether it came on a connection that was opened for a request with other cookies.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    shared: bool = False

    def header(self, name: str) -> str:
        """Return the first value of a field, or an empty text."""
        return next((value for key, value in self.headers if key == name), "")

    def all(self, name: str) -> tuple[str, ...]:
        """Return all values of a field, not joined: ``Set-Cookie`` cannot be joined (RFC 9110 section 5.3)."""
        return tuple(value for key, value in self.headers if key == name)


class ExactTargetAgent(Agent):
    """An agent that sends path and query as they are; Twisted's own drops an empty query and empty parameters."""

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: Any = None
    ) -> Deferred[IResponse]:
        """Send one request.

        :raises ValueError: if the URL is not printable ASCII.
        """
        parsed = URI.fromBytes(_ensureValidURI(uri))
        try:
            endpoint = self._getEndpoint(parsed)  # type: ignore[no-untyped-call]
        except SchemeNotSupported:
            return fail()
        key = (parsed.scheme, parsed.host, parsed.port)
        target = target_of(uri.decode("ascii")).encode("ascii")
        sending: Deferred[IResponse] = self._requestWithEndpoint(
            key, endpoint, method, parsed, headers, bodyProducer, target
        )
        return sending

    def request_on(
        self,
        kept: KeptConnections,
        route: str,
        method: bytes,
        uri: bytes,
        headers: Headers,
        bodyProducer: Any = None,
    ) -> Deferred[IResponse]:
        """Send one idempotent request on a kept connection of a route; see :meth:`KeptConnections.send`.

        :raises ValueError: if the URL is not printable ASCII.
        """
        parsed = URI.fromBytes(_ensureValidURI(uri))
        try:
            endpoint = self._getEndpoint(parsed)  # type: ignore[no-untyped-call]
        except SchemeNotSupported:
            return fail()
        if not headers.hasHeader(b"host"):
            headers.addRawHeader(b"host", self._computeHostValue(parsed.scheme, parsed.host, parsed.port))  # type: ignore[no-untyped-call]
        target = target_of(uri.decode("ascii")).encode("ascii")
        request = Request._construct(method, target, headers, bodyProducer, persistent=True, parsedURI=parsed)
        key = ConnectionKey(parsed.scheme, parsed.host, parsed.port, route)
        return kept.send(key, endpoint, request)


@implementer(IAgent)
class IdentityCodingAgent:
    """An agent that requests responses without a content coding and rejects others.

    :param kept: the connections for the requests of routes; None: each request has a connection of its own.
    """

    def __init__(self, agent: Any, user_agent: str = USER_AGENT, kept: KeptConnections | None = None) -> None:
        self._agent = IdentifyingAgent(agent, user_agent)
        self._exact = agent
        self.kept = kept

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: Any = None
    ) -> Deferred[IResponse]:
        """Send the request with ``Accept-Encoding: identity``."""
        return self._agent.request(method, uri, headers, bodyProducer).addCallback(self._check)

    def request_on(
        self, route: str, method: bytes, uri: bytes, headers: Headers, bodyProducer: Any = None
    ) -> Deferred[IResponse]:
        """Send the idempotent request on a kept connection of a route; its headers are completed in place."""
        if self.kept is None:
            return self.request(method, uri, headers, bodyProducer)
        self._agent.complete(headers)
        sending: Deferred[IResponse] = self._exact.request_on(self.kept, route, method, uri, headers, bodyProducer)
        return sending.addCallback(self._check)

    def _check(self, response: IResponse) -> IResponse:
        codings = response.headers.getRawHeaders(b"content-encoding", [])
        if any(coding.strip().lower() not in {b"", b"identity", b"none"} for coding in codings):
            abort_body(response)
            raise FetchFailed(CODED)
        response.headers.removeHeader(b"content-encoding")
        return response


@implementer(IAgentEndpointFactory)
class _FixedEndpointFactory:
    """Connects every request to one endpoint regardless of the URL's host: reaches the balancer without DNS."""

    def __init__(self, reactor: Any, connect: str, policy: BrowserLikePolicyForHTTPS) -> None:
        self._endpoint: IStreamClientEndpoint = clientFromString(reactor, connect)
        self._tls_policy = policy

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        if uri.scheme != b"https":
            return self._endpoint
        creator = self._tls_policy.creatorForNetloc(uri.host, uri.port)
        wrapped: IStreamClientEndpoint = wrapClientTLS(creator, self._endpoint)
        return wrapped


def agent_for(
    reactor: Any,
    connect: str = "",
    ca_file: Path | None = None,
    user_agent: str = USER_AGENT,
    max_head_bytes: int = MAX_HEAD_BYTES,
    idle_seconds: float = IDLE_SECONDS,
    max_idle: int = MAX_IDLE,
) -> IdentityCodingAgent:
    """Make an agent.

    :param connect: a client endpoint string to connect to; empty means the host of the URL.
    :param ca_file: PEM file with the only certificate authorities to trust; None means the system's.
    :param max_head_bytes: a response with a longer head fails.
    :param idle_seconds: how long a connection is kept without a request, and ``max_idle`` how many are.
    :raises OSError: if the file cannot be read.
    """
    policy = BrowserLikePolicyForHTTPS(_trust_root(ca_file) if ca_file is not None else None)
    pool = connection_pool(reactor, persistent=False, max_head_bytes=max_head_bytes)
    if connect:
        endpoints = _FixedEndpointFactory(reactor, connect, policy)
        agent = ExactTargetAgent.usingEndpointFactory(reactor, endpoints, pool)  # type: ignore[no-untyped-call]
    else:
        agent = ExactTargetAgent(reactor, policy, CONNECT_SECONDS, pool=pool)  # type: ignore[no-untyped-call]
    return IdentityCodingAgent(agent, user_agent, KeptConnections(reactor, idle_seconds, max_idle, max_head_bytes))


def _trust_root(ca_file: Path) -> Any:
    return ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(pem) for pem in pem_blocks(ca_file)])


class Client:
    """Sends requests with one agent.

    :param reactor: for the deadline.
    :param timeout_seconds: deadline for the whole response, body included.
    """

    def __init__(self, agent: Any, reactor: Any, timeout_seconds: float) -> None:
        self._agent = agent
        # Agents without a network, in tests, have no connections to keep.
        self._on_route = getattr(agent, "request_on", None)
        self._reactor = reactor
        self._timeout = timeout_seconds

    async def ask(
        self,
        method: str,
        url: str,
        headers: list[tuple[str, str]],
        max_bytes: int,
        timeout_seconds: float = 0.0,
        body: bytes = b"",
        route: str = "",
    ) -> Reply:
        """Send one request and read its response.

        :param max_bytes: the largest body that is accepted.
        :param timeout_seconds: the deadline; 0 means the client's own.
        :param body: the request's body.
        :param route: the name of the route whose kept connections may be used; empty: a new connection. The request
            has to be idempotent then: it may be sent twice.
        :raises FetchFailed: if no complete response came.
        """
        running = Deferred.fromCoroutine(self._ask(method, url, headers, max_bytes, body, route))
        deadline = self._reactor.callLater(timeout_seconds or self._timeout, running.cancel)
        try:
            return await running
        except FetchFailed:
            raise
        except Exception as failure:
            if not deadline.active():
                raise FetchFailed("timeout") from None
            if _was_cancelled(failure):  # the caller was cancelled, not this request alone
                raise CancelledError from None
            raise FetchFailed(_result_word(failure)) from None
        finally:
            if deadline.active():
                deadline.cancel()

    async def _ask(
        self, method: str, url: str, headers: list[tuple[str, str]], max_bytes: int, body: bytes, route: str
    ) -> Reply:
        sent = Headers()
        for name, value in headers:
            sent.addRawHeader(name.encode("ascii"), value.encode("latin-1"))
        producer = BytesProducer(body) if body else None
        request = method.encode("ascii"), url.encode("ascii"), sent, producer
        if route and self._on_route is not None:
            response = await self._on_route(route, *request)
        else:
            response = await self._agent.request(*request)
        content = await self._body(response, max_bytes)
        shared = getattr(response, "on_shared_connection", False)
        return Reply(response.code, tuple(_header_fields(response.headers)), content, shared)

    def forget(self, route: str) -> None:
        """Close the kept connections of a route: one of its answers came from another node."""
        kept = getattr(self._agent, "kept", None)
        if kept is not None:
            kept.forget(route)

    def close(self) -> None:
        """Close all kept connections."""
        kept = getattr(self._agent, "kept", None)
        if kept is not None:
            kept.close()

    async def _body(self, response: Any, max_bytes: int) -> bytes:
        try:
            return await read_body(response, max_bytes)
        except BodyTooLarge:
            raise FetchFailed(TOO_LARGE) from None
        except CancelledError:
            raise
        except Exception:
            raise FetchFailed(CUT) from None


def _header_fields(headers: Headers) -> list[tuple[str, str]]:
    return [
        (name.decode("ascii", "replace").lower(), value.decode("latin-1"))
        for name, values in headers.getAllRawHeaders()
        for value in values
    ]


_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (TwistedRefused, "refused"),
    (TwistedTimeout, "timeout"),
    (DNSLookupError, "unresolved"),
    (TlsError, "tls"),
    (VerificationError, "tls"),
    (ConnectError, "unreachable"),
)


def _was_cancelled(failure: BaseException) -> bool:
    reasons = [reason.value for reason in failure.reasons] if isinstance(failure, ResponseFailed) else [failure]
    return any(isinstance(reason, CancelledError) for reason in reasons)


def _result_word(failure: BaseException) -> str:
    """Return the short word for a network failure; its text is not passed on."""
    if isinstance(failure, ResponseFailed):
        for reason in failure.reasons:
            if isinstance(reason.value, FetchFailed):
                return reason.value.word
            if reason.check(TlsError, VerificationError):
                return "tls"
        # Something came, but no head that can be read: one line is too long, or it is not HTTP.
        return "broken" if isinstance(failure, ResponseNeverReceived) else BAD_HEAD
    return next((word for kind, word in _WORDS if isinstance(failure, kind)), "broken")
