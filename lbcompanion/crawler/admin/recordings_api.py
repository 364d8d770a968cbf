"""The JSON API of recordings and routes, and the archived bytes of a page."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from attrs import field, frozen

from lbcompanion.crawler.admin import json_views
from lbcompanion.crawler.admin.endpoint import Call, Endpoint, HttpError, Response, json_response
from lbcompanion.crawler.admin.endpoint_doc import (
    CURSORS,
    FILTERS,
    PAGING,
    RECORDING,
    TEXT,
    TIME,
    TOKEN,
    WHOLE_RECORDING,
    Doc,
    array,
    obj,
    or_null,
)
from lbcompanion.crawler.archive.errors import ArchiveError, FileOfAnotherCrawler
from lbcompanion.crawler.archive.files import Archive
from lbcompanion.crawler.crawl.scheduler import Defer
from lbcompanion.crawler.queue.backlog import Backlog
from lbcompanion.crawler.queue.filter_texts import FILTER_NAMES, BadFilter, read_filters
from lbcompanion.crawler.queue.filters import Filters
from lbcompanion.crawler.queue.search import FoundPage, Position, Search
from lbcompanion.crawler.queue.walks import Walks
from lbcompanion.model import to_rfc3339
from lbcompanion.protocol import shapes
from lbcompanion.sticky.routes import Routes

_DEFAULT_LIMIT, _MAX_LIMIT = 100, 1000
#: CSP of an archived page, which is untrusted: the sandbox gives it an opaque origin and forbids scripts and forms; and
#: nothing is loaded, since its author must not learn who looks at it, nor reach what the viewer's browser can reach.
ARCHIVED_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:"


_LISTING = Doc(
    "Recordings that fulfil all filters, the page that was viewed last first.",
    (*PAGING, *FILTERS),
    obj(recordings=array(RECORDING), **CURSORS),
)
_ONE = Doc("One recording.", answer=WHOLE_RECORDING, params=TOKEN)
_PAGE = Doc("The archived bytes of a page, with its own type.", media_type="*/*", params=TOKEN)
_ROUTE = obj(
    **dict.fromkeys(("site", "node", "state", "source"), TEXT),
    **dict.fromkeys(("proven_at", "expires_at"), or_null(TIME)),
    cookies=array(TEXT),
    dialect=or_null(TEXT),
    learnt_at=TIME,
)
_ROUTES = Doc("The crawler's route to each node.", answer=obj(routes=array(_ROUTE)))


@frozen
class Query:
    """The parameters of a listing.

    :ivar texts: the filters as they were given, without empty ones.
    """

    limit: int
    after: Position | None = None
    before: Position | None = None
    filters: Filters = field(factory=Filters)
    texts: Mapping[str, str] = field(factory=dict)


def read_query(call: Call) -> Query:
    """Read ``limit``, ``after``, ``before`` and the filters.

    :raises HttpError: 400 if one of them is invalid.
    """
    texts, filters = read_call_filters(call)
    after, before = (_read_cursor(call, name) for name in ("after", "before"))
    return Query(read_limit(call), after, before, filters, texts)


def read_call_filters(call: Call) -> tuple[Mapping[str, str], Filters]:
    """Return the filters of a request, as they were given, without empty ones, and read.

    :raises HttpError: 400 if one of them is invalid.
    """
    texts = {name: text for name in FILTER_NAMES if (text := call.argument(name))}
    try:
        return texts, read_filters(texts)
    except BadFilter as failure:
        raise HttpError(400, str(failure)) from None


def read_limit(call: Call) -> int:
    """Read ``limit``.

    :raises HttpError: 400 if it is not a whole number.
    """
    return min(max(read_number(call, "limit") or _DEFAULT_LIMIT, 1), _MAX_LIMIT)


def read_number(call: Call, name: str) -> int | None:
    """Read a whole number; None if it is not given.

    :raises HttpError: 400 if it is something else.
    """
    text = call.argument(name)
    if text and not (text.isascii() and text.isdigit() and len(text) < 16):
        raise HttpError(400, f"{name}: a whole number is allowed")
    return int(text) if text else None


def _read_cursor(call: Call, name: str) -> Position | None:
    text = call.argument(name)
    if not text:
        return None
    try:
        return Position.read(text)
    except ValueError:
        raise HttpError(400, f"{name}: use the value of next or previous of an earlier answer") from None


def cursors(found: FoundPage) -> dict[str, Any]:
    """Return where the next and the previous page begin, and how far the search came, as JSON."""
    return {
        "next": found.next.cursor if found.next else None,
        "previous": found.previous.cursor if found.previous else None,
        "searched_to": None if found.searched_to is None else to_rfc3339(found.searched_to),
    }


class Recordings:
    """Reads recordings, for the API and the dashboard.

    :param defer: runs calls on the thread of the database.
    :param read: reads pages on a thread that may wait for an object store.
    """

    def __init__(
        self,
        *,
        backlog: Backlog,
        search: Search,
        walks: Walks,
        archive: Archive,
        routes: Routes,
        defer: Defer,
        read: Defer,
    ) -> None:
        self._backlog = backlog
        self._search = search
        self._walks = walks
        self._archive = archive
        self._routes = routes
        self._defer = defer
        self._read = read

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints of the API."""
        return [
            Endpoint("/api/routes", self._routes_json, doc=_ROUTES),
            Endpoint("/api/recordings", self._listing_json, doc=_LISTING),
            Endpoint("/api/recordings/{token}", self._recording_json, doc=_ONE),
            Endpoint("/api/recordings/{token}/page", self._page, action="view page", doc=_PAGE),
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
        row = await self.row(token)
        previous, following = await self._defer(self._walks.neighbours, row)
        return {**json_views.recording(row), "previous": previous, "next": following}

    async def listing(self, query: Query) -> dict[str, Any]:
        """Return a part of the list, where the next and the previous part begin, and how far the search came."""
        found: FoundPage = await self._defer(
            partial(self._search.page, query.filters, query.limit, after=query.after, before=query.before)
        )
        return {
            "recordings": [json_views.recording(row) for row in found.rows],
            **cursors(found),
        }

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
