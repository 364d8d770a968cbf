"""The admin listener: finds the endpoint of a request, checks who asks, and writes the response."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from http import HTTPStatus
from typing import Any, Protocol

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from lbcompanion.crawler.admin.endpoint import Call, Endpoint, HttpError, Response, Stream, allowed_methods, json_bytes
from lbcompanion.http1.admin_hosts import host_refusal, refusal
from lbcompanion.web import QuietSite, UnparsedRequest

#: The most bytes of a request's body.
MAX_BODY_BYTES = 1 << 20

_PROBLEM = "application/problem+json"
_FIRST_ERROR = 400


class Guard(Protocol):
    """Decides who may call an endpoint."""

    def check(self, call: Call, endpoint: Endpoint) -> Coroutine[Deferred[Any], Any, Call]:
        """Return the call, with the user that makes it.

        :raises HttpError: if the caller is unknown (401) or may not call it (403).
        """
        ...


class AdminResource(Resource):
    """Serves all paths of the admin listener.

    :param endpoints: the paths.
    :param hosts: host names that requests may use, besides IP addresses and ``localhost``.
    :param guard: checks the user of each request; None: nobody has to log in.
    :param for_other_sites: whether pages of other origins may send requests. Then the addresses have to give access.
    :param error_page: makes the page of an error for people, of its status and reason; None: all errors are JSON.
    """

    isLeaf = True

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        *,
        hosts: tuple[str, ...] = (),
        guard: Guard | None = None,
        for_other_sites: bool = False,
        error_page: Callable[[int, str], Response] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._endpoints = tuple(endpoints)
        self._hosts = hosts
        self._guard = guard
        self._refusal = host_refusal if for_other_sites else refusal
        self._error_page = error_page
        self._log = Logger(namespace="lbcompanion.crawler.admin")

    def render(self, request: Request) -> int:
        """Respond to one request."""
        gone = _Gone()
        request.notifyFinish().addBoth(gone.set)
        done: Deferred[Response | Stream] = ensureDeferred(self._dispatch(request))
        done.addErrback(self._refuse, request)
        done.addCallback(self._send, request, gone)
        done.addErrback(lambda failure: self._log.failure("an answer could not be sent", failure=failure))
        return NOT_DONE_YET

    async def _dispatch(self, request: Request) -> Response | Stream:
        refused = self._refusal(
            lambda name: request.requestHeaders.getRawHeaders(name, []),
            self._hosts,
            http_1_0=request.clientproto == b"HTTP/1.0",
        )
        if refused is not None:
            raise HttpError(*refused)
        endpoint, call = self._find(request)
        if self._guard is not None:
            call = await self._guard.check(call, endpoint)
        return await endpoint.handler(call)

    def _find(self, request: Request) -> tuple[Endpoint, Call]:
        segments = tuple(request.path.decode("latin-1").split("/")[1:])
        method = request.method.decode("latin-1")
        found = [(each, params) for each in self._endpoints if (params := each.match(segments)) is not None]
        for endpoint, params in found:
            if endpoint.allows(method):
                return endpoint, Call(request, params)
        if not found:
            raise HttpError(404, "there is nothing here")
        allowed = allowed_methods(each for each, _ in found)
        raise HttpError(405, f"only {allowed.replace(', ', ' and ')} here", (("allow", allowed),))

    def _refuse(self, failure: Any, request: Request) -> Response:
        status, why, headers = 500, "the crawler could not answer", ()
        if failure.check(HttpError):
            status, why, headers = failure.value.status, str(failure.value), failure.value.headers
        else:
            self._log.error("a request failed: {kind}: {why}", kind=failure.type.__name__, why=str(failure.value))
        if self._error_page is not None and status >= _FIRST_ERROR and _wants_page(request):
            page = self._error_page(status, why)
            return Response(page.body, page.content_type, (*page.headers, *headers), status)
        # A problem of no type of its own has the phrase of its status as title (RFC 9457, section 4.2.1).
        problem = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": why}
        return Response(json_bytes(problem), _PROBLEM, headers, status)

    def _send(self, response: Response | Stream, request: Request, gone: _Gone) -> None:
        if gone.is_set:
            return
        if isinstance(response, Stream):
            _write_head(request, response.content_type, response.headers)
            if request.method == b"HEAD":
                request.finish()
                return
            gone.then = response.start(request)
            return
        request.setResponseCode(response.status, HTTPStatus(response.status).phrase.encode())
        _write_head(request, response.content_type, response.headers)
        request.setHeader(b"content-length", str(len(response.body)).encode())
        if request.method != b"HEAD":
            request.write(response.body)
        request.finish()


def _wants_page(request: Request) -> bool:
    """Whether a person asks for a page of the dashboard, not a program for data."""
    accepted = ",".join(request.requestHeaders.getRawHeaders("accept", []))
    return "text/html" in accepted.lower() and not request.path.startswith(b"/api/")


class _Gone:
    """Remembers that a request has ended, and calls what was to be called then."""

    is_set = False
    then: Callable[[], None] | None = None

    def set(self, _result: object) -> None:
        self.is_set = True
        if self.then is not None:
            self.then()


def _write_head(request: Request, content_type: str, headers: tuple[tuple[str, str], ...]) -> None:
    for name, value in (
        ("content-type", content_type),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ):
        request.setHeader(name.encode(), value.encode("latin-1", "replace"))
    own: dict[str, list[bytes]] = {}
    for name, value in headers:
        own.setdefault(name.lower(), []).append(value.encode("latin-1", "replace"))
    for name, values in own.items():
        request.responseHeaders.setRawHeaders(name.encode(), values)


class AdminRequest(UnparsedRequest):
    """A request that keeps at most one byte more of its body than it may have; twisted.web has no limit."""

    _left = MAX_BODY_BYTES + 1

    def handleContentChunk(self, data: bytes) -> None:
        """Receive a piece of the body."""
        kept = data[: self._left]
        self._left -= len(kept)
        if kept:
            super().handleContentChunk(kept)  # type: ignore[no-untyped-call]


def admin_site(admin: AdminResource, reactor: object) -> Site:
    """Return the admin listener's factory."""
    return QuietSite(admin, requestFactory=AdminRequest, timeout=60, reactor=reactor)  # type: ignore[no-untyped-call]
