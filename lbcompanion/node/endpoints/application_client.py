"""Requests one page from the application for the debug page, apart from visitors' requests; stores nothing."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.web.client import Agent
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from lbcompanion.errors import CompanionError
from lbcompanion.http1.heads import RequestHead, ResponseHead
from lbcompanion.node.transports.listening import client_endpoint
from lbcompanion.web import MAX_HEAD_BYTES, BodyTooLarge, connection_pool, read_body

_TIMEOUT_SECONDS = 10.0
# Set by the HTTP client, or not applicable.
_DROPPED_FIELDS = frozenset(
    {b"connection", b"content-length", b"transfer-encoding", b"accept-encoding", b"expect", b"upgrade"}
)


class NoPageError(CompanionError):
    """The application gave no page; the message says why."""


@frozen
class UpstreamResponse:
    """The application's response with its complete body, without a content coding."""

    head: ResponseHead
    body: bytes


@implementer(IAgentEndpointFactory)
class _FixedEndpointFactory:
    """Connects the requests for all hosts to one endpoint."""

    def __init__(self, endpoint: Any) -> None:
        self._endpoint = endpoint

    def endpointForURI(self, uri: Any) -> Any:
        return self._endpoint


class UpstreamClient:
    """Sends requests to the application.

    :param upstream: an endpoint string, ``[node] upstream``.
    :param max_bytes: the body limit.
    :param max_head_bytes: the limit of a response's head.
    """

    def __init__(self, upstream: str, reactor: Any, max_bytes: int, max_head_bytes: int = MAX_HEAD_BYTES) -> None:
        endpoints = _FixedEndpointFactory(client_endpoint(upstream, reactor))
        pool = connection_pool(reactor, persistent=False, max_head_bytes=max_head_bytes)
        self._agent = Agent.usingEndpointFactory(reactor, endpoints, pool)
        self._reactor = reactor
        self._max_bytes = max_bytes

    def ask(self, head: RequestHead) -> Deferred[UpstreamResponse]:
        """Request a page; the Deferred fails with :class:`NoPageError`."""
        return Deferred.fromCoroutine(self._ask(head))

    async def _ask(self, head: RequestHead) -> UpstreamResponse:
        headers = Headers()
        for name, value in head.fields:
            if name not in _DROPPED_FIELDS:
                headers.addRawHeader(name, value)
        headers.addRawHeader(b"accept-encoding", b"identity")
        try:
            # The plain Agent: no cookie jar, no redirects, no decoding.
            response = await self._agent.request(head.method, b"http://application" + head.target, headers).addTimeout(
                _TIMEOUT_SECONDS, self._reactor
            )
            body = await self._body(response)
        except NoPageError:
            raise
        except Exception as error:
            raise NoPageError(f"the application did not answer: {type(error).__name__}") from None
        fields = [(name.lower(), value) for name, values in response.headers.getAllRawHeaders() for value in values]
        answer = ResponseHead.from_fields(11, response.code, b"", fields)
        if answer.get(b"content-encoding") not in (None, b"identity"):
            raise NoPageError("the application codes what was asked for without a coding")
        return UpstreamResponse(answer, body)

    async def _body(self, response: Any) -> bytes:
        try:
            return await read_body(response, self._max_bytes).addTimeout(_TIMEOUT_SECONDS, self._reactor)
        except BodyTooLarge:
            raise NoPageError("larger than max_page_bytes") from None
