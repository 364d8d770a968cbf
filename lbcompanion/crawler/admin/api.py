"""The admin listener's responses: JSON, metrics, archived pages and the dashboard."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from lbcompanion.crawler.admin import dashboard, json_views
from lbcompanion.crawler.admin.erase_api import MAX_BODY_BYTES, EraseApi, EraseRefused, allowed_methods
from lbcompanion.crawler.archive.errors import ArchiveError, FileOfAnotherCrawler
from lbcompanion.crawler.archive.files import Archive
from lbcompanion.crawler.crawl.scheduler import Defer
from lbcompanion.crawler.erasure.erasure_service import ErasureService
from lbcompanion.crawler.health import Health
from lbcompanion.crawler.metrics import CrawlerMetrics
from lbcompanion.crawler.queue.backlog import Backlog
from lbcompanion.crawler.queue.database import BacklogError
from lbcompanion.http1.admin_hosts import refusal
from lbcompanion.protocol import shapes
from lbcompanion.sticky.routes import Routes
from lbcompanion.web import QuietSite

_DEFAULT_LIMIT, _MAX_LIMIT = 100, 1000
_FILTERS = ("outcome", "route", "node", "visitor")
_OUTCOMES = frozenset({"", "archived", "lost", "open", "null"})

_JSON = "application/json"
_HTML = "text/html; charset=utf-8"

#: CSP of the dashboard: resources and frames only from its own origin.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; img-src 'self'"
)


#: CSP of an archived page, which is untrusted: the sandbox gives it an opaque origin and forbids scripts and forms; and
#: nothing is loaded, since its author must not learn who looks at it, nor reach what the viewer's browser can reach.
_ARCHIVED_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:"


class _HttpError(Exception):
    """Ends a request with an error status."""

    def __init__(self, status: int, why: str) -> None:
        self.status = status
        super().__init__(why)


@frozen
class Response:
    """A response: body, content type and further fields."""

    body: bytes
    content_type: str = _JSON
    headers: tuple[tuple[str, str], ...] = ()


@frozen
class Query:
    """The parameters of a listing."""

    limit: int
    after: int | None
    filters: dict[str, str]


def read_query(request: Request) -> Query:
    """Read ``limit``, ``after`` and the filters.

    :raises _HttpError: 400 if one of them is invalid.
    """
    arguments = {name: _argument(request, name) for name in ("limit", "after", *_FILTERS)}
    for name in ("limit", "after"):
        if arguments[name] and not (
            arguments[name].isascii() and arguments[name].isdigit() and len(arguments[name]) < 16
        ):
            raise _HttpError(400, f"{name}: a whole number is allowed")
    for name in _FILTERS:
        if not arguments[name].isprintable():  # PostgreSQL refuses NUL: the queue would seem to fail
            raise _HttpError(400, f"{name}: control characters are not allowed")
    if arguments["outcome"] not in _OUTCOMES:
        raise _HttpError(400, "outcome: archived, lost and open are allowed")
    filters = {name: arguments[name] for name in _FILTERS}
    filters["outcome"] = "open" if filters["outcome"] == "null" else filters["outcome"]
    limit = min(max(int(arguments["limit"] or _DEFAULT_LIMIT), 1), _MAX_LIMIT)
    return Query(limit, int(arguments["after"]) if arguments["after"] else None, filters)


def _argument(request: Request, name: str) -> str:
    values: list[bytes] = (request.args or {}).get(name.encode(), [b""])
    return values[0].decode("utf-8", "replace")


class AdminResource(Resource):
    """Serves all paths of the admin listener.

    :param health: the crawler's current problems, for ``/healthz``.
    :param hosts: host names that requests may use, besides IP addresses and ``localhost``.
    :param erasure: erases on request; None: nothing can be erased.
    :param read: reads pages on a thread that may wait for an object store; None: the backlog's thread.
    """

    isLeaf = True

    def __init__(
        self,
        *,
        backlog: Backlog,
        archive: Archive,
        defer: Defer,
        routes: Routes,
        metrics: CrawlerMetrics,
        sites: Callable[[], list[str]],
        hosts: tuple[str, ...] = (),
        health: Health | None = None,
        erasure: ErasureService | None = None,
        read: Defer | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._backlog = backlog
        self._archive = archive
        self._defer = defer
        self._read = read or defer
        self._routes = routes
        self._metrics = metrics
        self._sites = sites
        self._hosts = hosts
        self._health = health or Health()
        self._erase_api = None if erasure is None else EraseApi(erasure, defer)
        self._log = Logger(namespace="lbcompanion.crawler.api")
        self._handlers: dict[tuple[str, ...], Callable[[Request], Coroutine[Deferred[Any], Any, Response]]] = {
            ("healthz",): self._health_text,
            ("metrics",): self._metrics_text,
            ("api", "stats"): self._stats,
            ("api", "routes"): self._routes_json,
            ("api", "recordings"): self._recordings,
            ("api", "erasures"): self._erasures,
            ("",): self._dashboard,
            ("live",): self._live,
            ("dashboard.css",): self._css,
            ("dashboard.js",): self._js,
        }

    def render(self, request: Request) -> int:
        """Respond to one request."""
        disconnected: list[bool] = []
        request.notifyFinish().addErrback(lambda _failure: disconnected.append(True))
        done: Deferred[Response] = ensureDeferred(self._dispatch(request))
        done.addErrback(self._refuse, request)
        done.addCallback(self._send, request, disconnected)
        done.addErrback(lambda failure: self._log.failure("an answer could not be sent", failure=failure))
        return NOT_DONE_YET

    async def _dispatch(self, request: Request) -> Response:
        refused = refusal(
            lambda name: request.requestHeaders.getRawHeaders(name, []),
            self._hosts,
            http_1_0=request.clientproto == b"HTTP/1.0",
        )
        if refused is not None:
            raise _HttpError(*refused)
        path = tuple(request.path.decode("latin-1").split("/")[1:])
        if request.method not in {b"GET", b"HEAD"} or path == ("api", "erase"):
            return await self._write(request, path)
        handler = self._handlers.get(path)
        if handler is not None:
            return await handler(request)
        if path[:2] == ("api", "recordings") and len(path) == 3:
            return _json(json_views.recording(await self._row(path[2])))
        if path[:2] == ("api", "recordings") and path[3:] == ("page",):
            return await self._page(path[2])
        if path[0] == "recording" and len(path) == 2:
            row = json_views.recording(await self._row(path[1]))
            return _page(dashboard.recording_page(row))
        raise _HttpError(404, "there is nothing here")

    async def _write(self, request: Request, path: tuple[str, ...]) -> Response:
        """Answer a request that changes something."""
        methods = allowed_methods(path) if self._erase_api is not None else ()
        if self._erase_api is None or request.method not in methods:
            allowed = methods if path == ("api", "erase") else (b"GET", b"HEAD", *methods)
            request.setHeader(b"allow", b", ".join(allowed))
            raise _HttpError(405, "only " + " and ".join(each.decode() for each in allowed) + " here")
        try:
            if request.method == b"DELETE":
                return _json(await self._erase_api.delete(path[2]))
            return _json(await self._erase_api.post(request))
        except EraseRefused as refused:
            raise _HttpError(refused.status, str(refused)) from None

    async def _erasures(self, request: Request) -> Response:
        if self._erase_api is None:
            raise _HttpError(404, "there is nothing here")
        query = read_query(request)
        return _json(await self._erase_api.entries(query.limit, query.after))

    def _refuse(self, failure: Any, request: Request) -> Response:
        status, why = 500, "the crawler could not answer"
        if failure.check(_HttpError):
            status, why = failure.value.status, str(failure.value)
        else:
            self._log.error("a request failed: {kind}: {why}", kind=failure.type.__name__, why=str(failure.value))
        request.setResponseCode(status, HTTPStatus(status).phrase.encode())
        return Response(_text({"title": why, "status": status}), "application/problem+json")

    def _send(self, handler: Response, request: Request, disconnected: list[bool]) -> None:
        if disconnected:
            return
        for name, value in (
            ("content-type", handler.content_type),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            *handler.headers,
        ):
            request.setHeader(name.encode(), value.encode("latin-1", "replace"))
        request.setHeader(b"content-length", str(len(handler.body)).encode())
        if request.method != b"HEAD":
            request.write(handler.body)
        request.finish()

    async def _row(self, token: str) -> Any:
        row = await self._defer(self._backlog.recording, token) if shapes.TOKEN.fullmatch(token) else None
        if row is None:
            raise _HttpError(404, "no recording of that token")
        return row

    async def _health_text(self, request: Request) -> Response:
        try:
            await self._defer(self._backlog.counts)
        except BacklogError as failure:
            problems = self._health.lines() or [str(failure)]
        else:
            problems = self._health.lines()
        if problems:
            request.setResponseCode(503)
        text = "".join(f"{each}\n" for each in problems or ["ok"])
        return Response(text.encode("utf-8", "replace"), "text/plain; charset=utf-8")

    async def _metrics_text(self, _request: Request) -> Response:
        counts = await self._defer(self._backlog.counts)
        return Response(self._metrics.exposition(counts["open"]), "text/plain; version=0.0.4; charset=utf-8")

    async def _numbers(self) -> dict[str, Any]:
        counts = await self._defer(self._backlog.counts)
        return {"recordings": sum(counts.values()), **counts, **self._metrics.totals()}

    async def _stats(self, _request: Request) -> Response:
        return _json(await self._numbers())

    async def _routes_json(self, _request: Request) -> Response:
        return _json({"routes": json_views.routes(self._routes)})

    async def _listing(self, query: Query) -> dict[str, Any]:
        rows = await self._defer(self._backlog.recordings, query.limit + 1, query.after, query.filters)
        following = str(rows[query.limit - 1]["id"]) if len(rows) > query.limit else None
        return {"recordings": [json_views.recording(row) for row in rows[: query.limit]], "next": following}

    async def _recordings(self, request: Request) -> Response:
        return _json(await self._listing(read_query(request)))

    async def _page(self, token: str) -> Response:
        row = await self._row(token)
        if not row["warc_file"]:
            raise _HttpError(404, "that page is not archived")
        try:
            body = await self._archived_body(row)
        except FileOfAnotherCrawler as failure:
            raise _HttpError(404, str(failure)) from None
        except ArchiveError as failure:
            moved = await self._row(token)
            if (moved["warc_file"], moved["warc_offset"]) == (row["warc_file"], row["warc_offset"]):
                raise _HttpError(500, str(failure)) from None
            # Its file was rewritten in between, without the records of erased recordings.
            body = await self._archived_body(moved)
        policy = (
            ("content-security-policy", _ARCHIVED_POLICY),
            ("x-dns-prefetch-control", "off"),
            ("x-robots-tag", "noindex, nofollow"),
        )
        return Response(body, row["content_type"] or "application/octet-stream", policy)

    async def _archived_body(self, row: Any) -> bytes:
        file, offset = row["warc_file"], row["warc_offset"]
        place, same = await self._defer(self._archive.reader.locate, file, offset)
        return await self._read(self._archive.reader.read_page, file, offset, place, same)

    async def _dashboard(self, request: Request) -> Response:
        query = read_query(request)
        return _page(dashboard.page(await self._live_html(query), query.filters, self._sites()))

    async def _live(self, request: Request) -> Response:
        return _page(await self._live_html(read_query(request)))

    async def _live_html(self, query: Query) -> str:
        listing = await self._listing(query)
        return dashboard.live(await self._numbers(), listing, json_views.routes(self._routes), query.filters)

    async def _css(self, _request: Request) -> Response:
        return Response(dashboard.CSS.encode(), "text/css; charset=utf-8")

    async def _js(self, _request: Request) -> Response:
        return Response(dashboard.JS.encode(), "text/javascript; charset=utf-8")


def _text(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _json(value: Any) -> Response:
    return Response(_text(value))


def _page(html: str) -> Response:
    policy = (("content-security-policy", f"{_PAGE_POLICY}; base-uri 'none'; form-action 'self'"),)
    return Response(html.encode("utf-8", "replace"), _HTML, policy)


class AdminRequest(Request):
    """A request that keeps at most one byte more of its body than an erasure may have; twisted.web has no limit."""

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
