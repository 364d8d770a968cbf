"""The JSON API of recordings and routes, and the archived bytes of a page."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from lbcompanion.crawler.admin import json_views
from lbcompanion.crawler.admin.endpoint import Call, Endpoint, HttpError, Response, json_response
from lbcompanion.crawler.archive.errors import ArchiveError, FileOfAnotherCrawler
from lbcompanion.crawler.archive.files import Archive
from lbcompanion.crawler.crawl.scheduler import Defer
from lbcompanion.crawler.queue.backlog import Backlog
from lbcompanion.protocol import shapes
from lbcompanion.sticky.routes import Routes

_DEFAULT_LIMIT, _MAX_LIMIT = 100, 1000
_FILTERS = ("outcome", "route", "node", "visitor")
_OUTCOMES = frozenset({"", "archived", "lost", "open", "null"})

#: CSP of an archived page, which is untrusted: the sandbox gives it an opaque origin and forbids scripts and forms; and
#: nothing is loaded, since its author must not learn who looks at it, nor reach what the viewer's browser can reach.
ARCHIVED_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:"


@frozen
class Query:
    """The parameters of a listing."""

    limit: int
    after: int | None
    filters: dict[str, str]


def read_query(call: Call) -> Query:
    """Read ``limit``, ``after`` and the filters.

    :raises HttpError: 400 if one of them is invalid.
    """
    arguments = {name: call.argument(name) for name in ("limit", "after", *_FILTERS)}
    for name in ("limit", "after"):
        if arguments[name] and not (
            arguments[name].isascii() and arguments[name].isdigit() and len(arguments[name]) < 16
        ):
            raise HttpError(400, f"{name}: a whole number is allowed")
    for name in _FILTERS:
        if not arguments[name].isprintable():  # PostgreSQL refuses NUL: the queue would seem to fail
            raise HttpError(400, f"{name}: control characters are not allowed")
    if arguments["outcome"] not in _OUTCOMES:
        raise HttpError(400, "outcome: archived, lost and open are allowed")
    filters = {name: arguments[name] for name in _FILTERS}
    filters["outcome"] = "open" if filters["outcome"] == "null" else filters["outcome"]
    limit = min(max(int(arguments["limit"] or _DEFAULT_LIMIT), 1), _MAX_LIMIT)
    return Query(limit, int(arguments["after"]) if arguments["after"] else None, filters)


class Recordings:
    """Reads recordings, for the API and the dashboard.

    :param defer: runs calls on the thread of the database.
    :param read: reads pages on a thread that may wait for an object store.
    """

    def __init__(self, *, backlog: Backlog, archive: Archive, routes: Routes, defer: Defer, read: Defer) -> None:
        self._backlog = backlog
        self._archive = archive
        self._routes = routes
        self._defer = defer
        self._read = read

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints of the API."""
        return [
            Endpoint("/api/routes", self._routes_json),
            Endpoint("/api/recordings", self._listing_json),
            Endpoint("/api/recordings/{token}", self._recording_json),
            Endpoint("/api/recordings/{token}/page", self._page, action="view page"),
        ]

    async def row(self, token: str) -> Any:
        """Return a recording's row.

        :raises HttpError: 404 if there is no such recording.
        """
        row = await self._defer(self._backlog.recording, token) if shapes.TOKEN.fullmatch(token) else None
        if row is None:
            raise HttpError(404, "no recording of that token")
        return row

    async def recording(self, token: str) -> dict[str, Any]:
        """Return a recording as JSON.

        :raises HttpError: 404 if there is no such recording.
        """
        return json_views.recording(await self.row(token))

    async def listing(self, query: Query) -> dict[str, Any]:
        """Return a part of the list, and where the next one begins."""
        rows = await self._defer(self._backlog.recordings, query.limit + 1, query.after, query.filters)
        following = str(rows[query.limit - 1]["id"]) if len(rows) > query.limit else None
        return {"recordings": [json_views.recording(row) for row in rows[: query.limit]], "next": following}

    def routes(self) -> list[dict[str, Any]]:
        """Return the crawler's routes as JSON."""
        return json_views.routes(self._routes)

    async def archived_body(self, row: Any) -> bytes:
        """Return the bytes of an archived page.

        :raises HttpError: 404 if it is not archived, or in a file of another crawler; 500 if it cannot be read.
        """
        if not row["warc_file"]:
            raise HttpError(404, "that page is not archived")
        try:
            return await self._body(row)
        except FileOfAnotherCrawler as failure:
            raise HttpError(404, str(failure)) from None
        except ArchiveError as failure:
            moved = await self.row(row["token"])
            if (moved["warc_file"], moved["warc_offset"]) == (row["warc_file"], row["warc_offset"]):
                raise HttpError(500, str(failure)) from None
            # Its file was rewritten in between, without the records of erased recordings.
            return await self._body(moved)

    async def _body(self, row: Any) -> bytes:
        file, offset = row["warc_file"], row["warc_offset"]
        place, same = await self._defer(self._archive.reader.locate, file, offset)
        return await self._read(self._archive.reader.read_page, file, offset, place, same)

    async def _routes_json(self, _call: Call) -> Response:
        return json_response({"routes": self.routes()})

    async def _listing_json(self, call: Call) -> Response:
        return json_response(await self.listing(read_query(call)))

    async def _recording_json(self, call: Call) -> Response:
        return json_response(await self.recording(call.params["token"]))

    async def _page(self, call: Call) -> Response:
        row = await self.row(call.params["token"])
        body = await self.archived_body(row)
        headers = (
            ("content-security-policy", ARCHIVED_POLICY),
            ("x-dns-prefetch-control", "off"),
            ("x-robots-tag", "noindex, nofollow"),
        )
        return Response(body, row["content_type"] or "application/octet-stream", headers)
