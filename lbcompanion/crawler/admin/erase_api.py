"""The part of the JSON API that erases: ``POST /api/erase``, ``DELETE /api/recordings/TOKEN``, ``GET /api/erasures``.

So that a page of another site cannot make a browser erase anything, the listener refuses requests from other sites,
and a POST has to be ``application/json``, which a form cannot send.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from lbcompanion.crawler.access.roles import Role
from lbcompanion.crawler.admin.endpoint import (
    Call,
    Endpoint,
    HttpError,
    Response,
    json_response,
    read_json_object,
)
from lbcompanion.crawler.admin.endpoint_doc import (
    AFTER_NUMBER,
    BOOLEAN,
    INTEGER,
    LIMIT,
    TEXT,
    TIME,
    TIME_TEXT,
    TOKEN,
    Doc,
    Schema,
    array,
    obj,
    one_of,
    or_null,
)
from lbcompanion.crawler.admin.listener import MAX_BODY_BYTES
from lbcompanion.crawler.admin.recordings_api import read_limit, read_number
from lbcompanion.crawler.erasure.criteria import BadCriteria, dump_entry, dump_matches, dump_result, read_selection
from lbcompanion.crawler.erasure.eraser import Run
from lbcompanion.crawler.erasure.erasure_service import ErasureService
from lbcompanion.crawler.queue.erasures import Selection
from lbcompanion.protocol import shapes

_WRITERS = ("api", "command")


_RESULT = obj(
    dry_run=BOOLEAN,
    **dict.fromkeys(("recordings", "archived", "losses", "routes", "records", "files", "bytes"), INTEGER),
    waiting=INTEGER,
    files_waiting=INTEGER,
    files_unsearched=INTEGER,
)
_MATCHES = obj(dry_run=BOOLEAN, **dict.fromkeys(("recordings", "archived", "file_records"), INTEGER))


def _one_or_more(schema: Schema) -> Schema:
    return {"anyOf": [schema, {**array(schema), "minItems": 1, "maxItems": 500}]}


_URL = {"type": "string", "pattern": r"^[hH][tT][tT][pP][sS]?://[^\x00-\x1f\x7f]*$"}
_VISITOR = {"type": "string", "pattern": r"^[^\x00-\x1f\x7f]+$", "not": {"enum": ["0", "1"]}}
_BODY = {
    **obj(
        ("token", "url", "visitor", "before", "dry_run", "by"),
        token=_one_or_more({"type": "string", "pattern": "^[A-Za-z0-9_-]{1,63}$"}),
        url=_one_or_more(_URL),
        visitor=_one_or_more(_VISITOR),
        before=TIME_TEXT,
        dry_run=BOOLEAN,
        by=one_of("api", "command"),
    ),
    "anyOf": [{"required": [name]} for name in ("token", "url", "visitor", "before")],
}
_ERASE = Doc("Erase the recordings that meet all criteria.", answer={"anyOf": [_RESULT, _MATCHES]}, body=_BODY)
_ONE = Doc("Erase one recording.", answer=_RESULT, params=TOKEN)
_ENTRY = obj(
    **dict.fromkeys(("id", "recordings", "archived", "losses", "routes", "records", "files", "bytes"), INTEGER),
    at=TIME,
    finished_at=or_null(TIME),
    by=TEXT,
    criteria=TEXT,
)
_ENTRIES = Doc("The erasures, newest first.", (LIMIT, AFTER_NUMBER), obj(erasures=array(_ENTRY), next=or_null(TEXT)))


class EraseApi:
    """Erases on request.

    :param defer: runs calls on the thread of the database.
    """

    def __init__(self, erasure: ErasureService, defer: Run) -> None:
        self._erasure = erasure
        self._defer = defer

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        return [
            Endpoint("/api/erase", self._post, ("POST",), role=Role.OPERATOR, action="erase", doc=_ERASE),
            Endpoint(
                "/api/recordings/{token}", self._delete, ("DELETE",), role=Role.OPERATOR, action="erase", doc=_ONE
            ),
            Endpoint("/api/erasures", self._entries, doc=_ENTRIES),
        ]

    async def _post(self, call: Call) -> Response:
        given = read_json_object(call, MAX_BODY_BYTES)
        by, dry_run = given.pop("by", "api"), given.pop("dry_run", False)
        if by not in _WRITERS or not isinstance(dry_run, bool):
            raise HttpError(400, "dry_run: has to be true or false; by: api or command")
        try:
            selection = read_selection(given, self._erasure.secret)
        except BadCriteria as failure:
            raise HttpError(400, str(failure)) from None
        await call.describe(_in_words(selection, dry_run=dry_run))
        if dry_run:
            return json_response(dump_matches(await self._erasure.eraser.count(selection)))
        return json_response(dump_result(await self._erasure.eraser.erase(selection, by)))

    async def _delete(self, call: Call) -> Response:
        token = call.params["token"]
        selection = Selection(tokens=(token,))
        if (
            not shapes.TOKEN.fullmatch(token)
            or not (await self._defer(self._erasure.erasures.count, selection)).recordings
        ):
            raise HttpError(404, "no recording of that token")
        return json_response(dump_result(await self._erasure.eraser.erase(selection, "api")))

    async def _entries(self, call: Call) -> Response:
        """List the log, newest first."""
        limit = read_limit(call)
        rows = await self._list(limit + 1, read_number(call, "after"))
        following = str(rows[limit - 1]["id"]) if len(rows) > limit else None
        return json_response({"erasures": [dump_entry(row) for row in rows[:limit]], "next": following})

    def _list(self, limit: int, after: int | None) -> Deferred[list[dict[str, Any]]]:
        return self._defer(self._erasure.erasures.entries, limit, after)


def _in_words(selection: Selection, *, dry_run: bool) -> str:
    """Return the words for the audit log: the names of the criteria, and the tokens, never another value."""
    tokens = f": {', '.join(selection.tokens)}" if selection.tokens else ""
    return f"{'dry run by ' if dry_run else 'by '}{selection.criteria}{tokens}"
