"""One HTTP request at a time: an Agent, kept on a short lead.

No cookie jar, no redirects, no decoding, a cap on the body, an absolute deadline, a connection of its own for each
request (a balancer may stick to a connection). What the answer means is not decided here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import field, frozen
from OpenSSL.SSL import Error as TlsError
from service_identity import VerificationError
from twisted.internet import ssl
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import clientFromString, wrapClientTLS
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.error import ConnectionRefusedError as TwistedRefused
from twisted.internet.error import TimeoutError as TwistedTimeout
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.web.client import (
    URI,
    Agent,
    BrowserLikePolicyForHTTPS,
    HTTPConnectionPool,
    ResponseFailed,
    _HTTP11ClientFactory,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IResponse
from zope.interface import implementer

from lbcompanion.endpoints.certificates import pem_blocks
from lbcompanion.errors import CompanionError
from lbcompanion.web import BodyTooLarge, abort_body, read_body

CONNECT_SECONDS = 10.0

#: RFC 9110 section 12.5.3: the copy's bytes are wanted as they are.
_IDENTITY = [b"identity"]


class FetchFailed(CompanionError):
    """No usable answer; :ivar word: is the short word for :attr:`lbcompanion.model.Attempt.result`."""

    def __init__(self, word: str) -> None:
        self.word = word
        super().__init__(word)


@frozen
class Reply:
    """An answer, read whole.

    :ivar headers: as they came, in order, names in lower case.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)

    def header(self, name: str) -> str:
        """The first value of a header, or empty."""
        return next((value for key, value in self.headers if key == name), "")

    def all(self, name: str) -> tuple[str, ...]:
        """All values of a header, never joined (``Set-Cookie`` cannot be)."""
        return tuple(value for key, value in self.headers if key == name)


@implementer(IAgent)
class IdentityCodingAgent:
    """Asks for no content coding, and takes none."""

    def __init__(self, agent: Any) -> None:
        self._agent = agent

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: Any = None
    ) -> Deferred[IResponse]:
        """Send the request with ``Accept-Encoding: identity``."""
        sent = headers.copy() if headers is not None else Headers()
        sent.setRawHeaders(b"accept-encoding", _IDENTITY)
        answer: Deferred[IResponse] = self._agent.request(method, uri, sent, bodyProducer)
        return answer.addCallback(self._check)

    def _check(self, response: IResponse) -> IResponse:
        codings = response.headers.getRawHeaders(b"content-encoding", [])
        if any(coding.strip().lower() not in {b"", b"identity", b"none"} for coding in codings):
            abort_body(response)
            raise FetchFailed("coded")
        response.headers.removeHeader(b"content-encoding")
        return response


@implementer(IAgentEndpointFactory)
class _FixedEndpointFactory:
    """Connects every request to one endpoint, whatever host the URL names: the balancer without DNS."""

    def __init__(self, reactor: Any, connect: str, policy: BrowserLikePolicyForHTTPS) -> None:
        self._reactor = reactor
        self._connect = connect
        self._tls_policy = policy

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        endpoint: IStreamClientEndpoint = clientFromString(self._reactor, self._connect)
        if uri.scheme != b"https":
            return endpoint
        wrapped: IStreamClientEndpoint = wrapClientTLS(self._tls_policy.creatorForNetloc(uri.host, uri.port), endpoint)
        return wrapped


class _QuietFactory(_HTTP11ClientFactory):
    """Two log lines for every connection would drown all others."""

    noisy = False


def agent_for(reactor: Any, connect: str = "", ca_file: Path | None = None) -> IdentityCodingAgent:
    """An agent that trusts the named authorities only, where a file of them is given.

    :param connect: a client endpoint string; empty: where the URL says.
    :raises OSError: where the file of authorities cannot be read.
    """
    policy = BrowserLikePolicyForHTTPS(_trust_root(ca_file) if ca_file is not None else None)
    pool = HTTPConnectionPool(reactor, persistent=False)
    pool._factory = _QuietFactory
    if connect:
        return IdentityCodingAgent(
            Agent.usingEndpointFactory(reactor, _FixedEndpointFactory(reactor, connect, policy), pool)
        )
    return IdentityCodingAgent(Agent(reactor, contextFactory=policy, connectTimeout=CONNECT_SECONDS, pool=pool))


def _trust_root(ca_file: Path) -> Any:
    return ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(pem) for pem in pem_blocks(ca_file)])


class Client:
    """Asks by one agent.

    :param reactor: for the deadline.
    :param timeout_seconds: for the whole answer, body included.
    """

    def __init__(self, agent: Any, reactor: Any, timeout_seconds: float) -> None:
        self._agent = agent
        self._reactor = reactor
        self._timeout = timeout_seconds

    async def ask(
        self, method: str, url: str, headers: list[tuple[str, str]], max_bytes: int, timeout_seconds: float = 0.0
    ) -> Reply:
        """Send one request and read its answer.

        :param max_bytes: bytes of body at most.
        :param timeout_seconds: instead of the client's own; 0: that one.
        :raises FetchFailed: where no whole answer came.
        """
        running = Deferred.fromCoroutine(self._ask(method, url, headers, max_bytes))
        deadline = self._reactor.callLater(timeout_seconds or self._timeout, running.cancel)
        try:
            return await running
        except FetchFailed:
            raise
        except Exception as failure:
            if not deadline.active():
                raise FetchFailed("timeout") from None
            if _was_cancelled(failure):  # the whole work was, not this request alone
                raise CancelledError from None
            raise FetchFailed(_result_word(failure)) from None
        finally:
            if deadline.active():
                deadline.cancel()

    async def _ask(self, method: str, url: str, headers: list[tuple[str, str]], max_bytes: int) -> Reply:
        sent = Headers()
        for name, value in headers:
            sent.addRawHeader(name.encode("ascii"), value.encode("latin-1"))
        # Not by treq: that writes the address in another form than ours (``|`` as ``%7C``), which is the recorded one.
        response = await self._agent.request(method.encode("ascii"), url.encode("ascii"), sent)
        body = await self._body(response, max_bytes)
        return Reply(response.code, tuple(_header_fields(response.headers)), body)

    async def _body(self, response: Any, max_bytes: int) -> bytes:
        try:
            return await read_body(response, max_bytes)
        except BodyTooLarge:
            raise FetchFailed("too large") from None
        except CancelledError:
            raise
        except Exception:
            raise FetchFailed("broken") from None


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
    """The short word for a failure of the network; its text is not passed on."""
    if isinstance(failure, ResponseFailed):
        for reason in failure.reasons:
            if isinstance(reason.value, FetchFailed):
                return reason.value.word
            if reason.check(TlsError, VerificationError):
                return "tls"
        return "broken"
    return next((word for kind, word in _WORDS if isinstance(failure, kind)), "broken")
