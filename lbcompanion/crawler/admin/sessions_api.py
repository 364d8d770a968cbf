"""The JSON API of visitors' walks: ``/api/sessions`` and ``/api/sessions/VISITOR``."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

from lbcompanion.crawler.admin import json_views
from lbcompanion.crawler.admin.endpoint import Call, Endpoint, HttpError, Response, json_response
from lbcompanion.crawler.admin.endpoint_doc import (
    CURSORS,
    FILTERS,
    INTEGER,
    PAGING,
    STEP,
    TEXT,
    TIME,
    VISITOR,
    Doc,
    array,
    obj,
)
from lbcompanion.crawler.admin.recordings_api import cursors, read_query
from lbcompanion.crawler.crawl.scheduler import Defer
from lbcompanion.crawler.queue.walks import Walk, Walks
from lbcompanion.model import to_rfc3339
from lbcompanion.protocol.visitors import is_pseudonym

_SESSION = {"visitor": TEXT, "first_at": TIME, "last_at": TIME, "pages": INTEGER}
_LISTING = Doc(
    "Visitors, the one with the last view first.",
    (*PAGING, *(each for each in FILTERS if each.name in ("from", "to", "site"))),
    obj(sessions=array(obj(**_SESSION)), **CURSORS),
)
_ONE = Doc(
    "A visitor's recordings, in the order of the views.",
    PAGING,
    obj(**_SESSION, recordings=array(STEP), **CURSORS),
    params=VISITOR,
)


class SessionsApi:
    """Lists visitors, and shows the walk of one.

    :param defer: runs calls on the thread of the database.
    """

    def __init__(self, walks: Walks, defer: Defer) -> None:
        self._walks = walks
        self._defer = defer

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        return [
            Endpoint("/api/sessions", self._listing_json, doc=_LISTING),
            Endpoint("/api/sessions/{visitor}", self._walk_json, action="view session", doc=_ONE),
        ]

    async def listing(self, call: Call) -> dict[str, Any]:
        """Return visitors as JSON, the one with the last view first."""
        query = read_query(call)
        walks, found = await self._defer(self._walks.page, query.filters, query.limit, query.after, query.before)
        return {"sessions": [_walk(each) for each in walks], **cursors(found)}

    async def walk(self, call: Call) -> dict[str, Any]:
        """Return a visitor's recordings as JSON, in the order of the views.

        :raises HttpError: 404 if there are no recordings of the visitor.
        """
        visitor, query = call.params["visitor"], read_query(call)
        walk = await self._defer(self._walks.walk, visitor) if is_pseudonym(visitor) else None
        if walk is None:
            raise HttpError(404, "no recording of that visitor")
        steps = partial(self._walks.steps, visitor, query.limit, query.after, query.before)
        found = await self._defer(steps)
        recordings = [json_views.recording(row) for row in found.rows]
        times = [row["viewed_at"] for row in found.rows]
        for recording, (before, after) in zip(recordings[1:], pairwise(times), strict=True):
            recording["seconds_since_previous"] = round(after - before, 3)
        return {**_walk(walk), "recordings": recordings, **cursors(found)}

    async def _listing_json(self, call: Call) -> Response:
        return json_response(await self.listing(call))

    async def _walk_json(self, call: Call) -> Response:
        return json_response(await self.walk(call))


def _walk(walk: Walk) -> dict[str, Any]:
    return {
        "visitor": walk.visitor,
        "first_at": to_rfc3339(walk.first_at),
        "last_at": to_rfc3339(walk.last_at),
        "pages": walk.pages,
    }
