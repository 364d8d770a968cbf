"""The part of the JSON API that erases: ``POST /api/erase``, ``DELETE /api/recordings/TOKEN``, ``GET /api/erasures``.

The admin listener has no password. So that a page of another site cannot make a browser erase anything, the listener
refuses requests from other sites, and a POST has to be ``application/json``, which a form cannot send.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.server import Request

from lbcompanion.crawler.erasure.criteria import BadCriteria, dump_entry, dump_matches, dump_result, read_selection
from lbcompanion.crawler.erasure.eraser import Run
from lbcompanion.crawler.erasure.erasure_service import ErasureService
from lbcompanion.crawler.queue.erasures import Selection
from lbcompanion.errors import CompanionError
from lbcompanion.protocol import shapes

MAX_BODY_BYTES = 1 << 20
_WRITERS = ("api", "command")


class EraseRefused(CompanionError):
    """A request to erase is refused.

    :ivar status: of the response.
    """

    def __init__(self, status: int, why: str) -> None:
        self.status = status
        super().__init__(why)


def allowed_methods(path: tuple[str, ...]) -> tuple[bytes, ...]:
    """Return the methods, beside GET and HEAD, that a path allows."""
    if path == ("api", "erase"):
        return (b"POST",)
    return (b"DELETE",) if path[:2] == ("api", "recordings") and len(path) == 3 else ()


class EraseApi:
    """Erases on request.

    :param defer: runs calls on the thread of the database.
    """

    def __init__(self, erasure: ErasureService, defer: Run) -> None:
        self._erasure = erasure
        self._defer = defer

    async def post(self, request: Request) -> dict[str, Any]:
        """Answer ``POST /api/erase``.

        :raises EraseRefused: if the request is not one to erase.
        """
        given = _body(request)
        by, dry_run = given.pop("by", "api"), given.pop("dry_run", False)
        if by not in _WRITERS or not isinstance(dry_run, bool):
            raise EraseRefused(400, "dry_run: has to be true or false; by: api or command")
        try:
            selection = read_selection(given, self._erasure.secret)
        except BadCriteria as failure:
            raise EraseRefused(400, str(failure)) from None
        if dry_run:
            return dump_matches(await self._defer(self._erasure.erasures.count, selection))
        return dump_result(await self._erasure.eraser.erase(selection, by))

    async def delete(self, token: str) -> dict[str, Any]:
        """Answer ``DELETE /api/recordings/TOKEN``.

        :raises EraseRefused: if there is no such recording.
        """
        selection = Selection(tokens=(token,))
        if (
            not shapes.TOKEN.fullmatch(token)
            or not (await self._defer(self._erasure.erasures.count, selection)).recordings
        ):
            raise EraseRefused(404, "no recording of that token")
        return dump_result(await self._erasure.eraser.erase(selection, "api"))

    async def entries(self, limit: int, after: int | None) -> dict[str, Any]:
        """Answer ``GET /api/erasures``: the log, newest first."""
        rows = await self._list(limit + 1, after)
        following = str(rows[limit - 1]["id"]) if len(rows) > limit else None
        return {"erasures": [dump_entry(row) for row in rows[:limit]], "next": following}

    def _list(self, limit: int, after: int | None) -> Deferred[list[dict[str, Any]]]:
        return self._defer(self._erasure.erasures.entries, limit, after)


def _body(request: Request) -> dict[str, Any]:
    kind = (request.getHeader(b"content-type") or b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        raise EraseRefused(415, "the body has to be application/json")
    data = request.content.read(MAX_BODY_BYTES + 1) if request.content is not None else b""
    if len(data) > MAX_BODY_BYTES:
        raise EraseRefused(413, f"more than {MAX_BODY_BYTES} bytes")
    try:
        given = json.loads(data)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise EraseRefused(400, "the body has to be a JSON object")
    return given
