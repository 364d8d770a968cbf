"""The audit log in the JSON API: ``GET /api/audit``."""

from __future__ import annotations

from typing import Any

from lbcompanion.crawler.access.roles import Role
from lbcompanion.crawler.admin.endpoint import Call, Endpoint, HttpError, Response, json_response
from lbcompanion.crawler.admin.endpoint_doc import (
    AFTER_NUMBER,
    INTEGER,
    LIMIT,
    TEXT,
    TIME,
    Doc,
    Parameter,
    array,
    obj,
    or_null,
)
from lbcompanion.crawler.admin.recordings_api import read_limit, read_number
from lbcompanion.crawler.crawl.scheduler import Defer
from lbcompanion.crawler.queue.audit import FILTERS, AuditLog
from lbcompanion.crawler.queue.filter_texts import is_one_line
from lbcompanion.model import to_rfc3339

_LINE = obj(id=INTEGER, at=TIME, **dict.fromkeys((*FILTERS, "detail"), or_null(TEXT)))
_LISTING = Doc(
    "The audit log, newest line first.",
    (LIMIT, AFTER_NUMBER, *(Parameter(name, "Lines with this value only.") for name in FILTERS)),
    obj(audit=array(_LINE), next=or_null(TEXT)),
)


class AuditApi:
    """Lists the audit log.

    :param defer: runs calls on the thread of the database.
    """

    def __init__(self, log: AuditLog, defer: Defer) -> None:
        self._log = log
        self._defer = defer

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        return [Endpoint("/api/audit", self._listing, role=Role.OPERATOR, action="view audit log", doc=_LISTING)]

    async def _listing(self, call: Call) -> Response:
        limit = read_limit(call)
        filters = {name: call.argument(name) for name in FILTERS}
        for name, value in filters.items():
            if not is_one_line(value):
                raise HttpError(400, f"{name}: control characters are not allowed")
        rows = await self._defer(self._log.entries, limit + 1, read_number(call, "after"), filters)
        following = str(rows[limit - 1]["id"]) if len(rows) > limit else None
        return json_response({"audit": [audit_line(row) for row in rows[:limit]], "next": following})


def audit_line(row: dict[str, Any]) -> dict[str, Any]:
    """Return one line as JSON."""
    return {
        "id": row["id"],
        "at": to_rfc3339(row["at"]),
        **{name: row[name] or None for name in (*FILTERS, "detail")},
    }
