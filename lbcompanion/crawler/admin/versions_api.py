"""The JSON API of the versions of a page: ``/api/versions`` and ``/api/compare``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from typing import Any

from attrs import evolve

from lbcompanion.crawler.admin.endpoint import Call, Endpoint, HttpError, Response, json_response
from lbcompanion.crawler.admin.endpoint_doc import (
    BOOLEAN,
    CURSORS,
    FILTERS,
    INTEGER,
    PAGING,
    TEXT,
    TIME,
    WITHOUT_STARS,
    Doc,
    Parameter,
    array,
    obj,
    one_of,
    or_null,
)
from lbcompanion.crawler.admin.line_diff import Difference, Kind, difference
from lbcompanion.crawler.admin.recordings_api import Recordings, cursors, read_query
from lbcompanion.crawler.crawl.scheduler import Defer
from lbcompanion.crawler.queue.search import FoundPage, Search
from lbcompanion.html.visible_text import MAX_READ_BYTES, page_text, visible_lines
from lbcompanion.model import Verdict, to_rfc3339

#: Between two tags a line of the source may end: some pages are one line.
_BETWEEN_TAGS = re.compile(r"(?<=>)(?=<)")
_LONG_LINE_CHARS = 200


_VERSION = obj(
    **dict.fromkeys(("sha256", "first_token", "last_token"), TEXT),
    **dict.fromkeys(("first_at", "last_at"), TIME),
    title=or_null(TEXT),
    bytes=or_null(INTEGER),
    nodes=array(TEXT),
    recordings=INTEGER,
)
_SEEN = {"token": TEXT, "viewed_at": TIME, "node": TEXT, "sha256": TEXT}
_VERSIONS = Doc(
    "The archived recordings of one address, and the groups of those with the same bytes.",
    (
        Parameter("url", "The whole address of a page.", WITHOUT_STARS, required=True),
        *PAGING,
        *(each for each in FILTERS if each.name not in ("url", "outcome")),
    ),
    obj(url=TEXT, versions=array(_VERSION), recordings=array(obj(**_SEEN)), **CURSORS),
)
_RUN = obj(kind=one_of(*(each.value for each in Kind)), lines=array(TEXT), count=INTEGER)
_DIFFERENCE = obj(changes=array(_RUN), cut=BOOLEAN, exact=BOOLEAN)
_SIDE = obj(**_SEEN, url=TEXT)
_COMPARE = Doc(
    "The difference of two archived pages.",
    (Parameter("a", "A token.", required=True), Parameter("b", "A token.", required=True)),
    obj(a=_SIDE, b=_SIDE, same=BOOLEAN, text=_DIFFERENCE, source=_DIFFERENCE),
)


class VersionsApi:
    """Lists the versions of an address, and compares two recordings.

    :param defer: runs calls on the thread of the database.
    :param read: runs calls that take long on another thread.
    """

    def __init__(self, *, recordings: Recordings, search: Search, defer: Defer, read: Defer) -> None:
        self._recordings = recordings
        self._search = search
        self._defer = defer
        self._read = read

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        return [
            Endpoint("/api/versions", self._versions_json, doc=_VERSIONS),
            Endpoint("/api/compare", self._compare_json, action="compare pages", doc=_COMPARE),
        ]

    async def versions(self, call: Call) -> dict[str, Any]:
        """Return the archived recordings of one address, and their versions, as JSON.

        :raises HttpError: 400 without a whole address.
        """
        query = read_query(call)
        url = query.filters.url
        if url is None or url.begins or url.contains:
            raise HttpError(400, "url: the whole address of a page is needed, without a star")
        filters = evolve(query.filters, outcome=Verdict.ARCHIVED.value)
        page = partial(self._search.page, filters, query.limit, after=query.after, before=query.before)
        found: FoundPage = await self._defer(page)
        recordings = [
            {
                "token": row["token"],
                "viewed_at": to_rfc3339(row["viewed_at"]),
                "node": row["origin_node"],
                "sha256": row["sha256"],
            }
            for row in found.rows
        ]
        return {"url": url.text, "versions": _versions(found.rows), "recordings": recordings, **cursors(found)}

    async def compare(self, first: str, second: str) -> dict[str, Any]:
        """Return the differences of two archived pages as JSON.

        :raises HttpError: 404 if there is no such recording, or it is not archived.
        """
        rows = [await self._recordings.row(token) for token in (first, second)]
        bodies = [await self._recordings.archived_body(row) for row in rows]
        pages = [(body, row["content_type"]) for body, row in zip(bodies, rows, strict=True)]
        text, source = await self._read(_differences, *pages)
        sides = [
            {
                "token": row["token"],
                "url": row["page_url"] or row["url"],
                "viewed_at": to_rfc3339(row["viewed_at"]),
                "node": row["origin_node"],
                "sha256": row["sha256"],
            }
            for row in rows
        ]
        return {"a": sides[0], "b": sides[1], "same": bodies[0] == bodies[1], "text": text, "source": source}

    async def _versions_json(self, call: Call) -> Response:
        return json_response(await self.versions(call))

    async def _compare_json(self, call: Call) -> Response:
        return json_response(await self.compare(call.argument("a"), call.argument("b")))


def _versions(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Group recordings by their bytes; the version that was seen last comes first."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        at = to_rfc3339(row["viewed_at"])
        version = found.setdefault(
            row["sha256"],
            {
                "sha256": row["sha256"],
                "title": row["title"],
                "bytes": row["bytes"],
                "last_at": at,
                "last_token": row["token"],
                "nodes": [],
                "recordings": 0,
            },
        )
        version |= {"first_at": at, "first_token": row["token"], "recordings": version["recordings"] + 1}
        version["nodes"] = sorted({*version["nodes"], row["origin_node"]})
    return list(found.values())


def _differences(first: tuple[bytes, str], second: tuple[bytes, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    texts = [page_text(*page) for page in (first, second)]
    is_cut = max(len(first[0]), len(second[0])) > MAX_READ_BYTES
    shown = difference(visible_lines(texts[0]), visible_lines(texts[1]))
    source = difference(_source_lines(texts[0]), _source_lines(texts[1]))
    return _as_json(shown, is_cut=is_cut), _as_json(source, is_cut=is_cut)


def _source_lines(text: str) -> list[str]:
    lines: list[str] = []
    for line in text.splitlines():
        lines += [line] if len(line) < _LONG_LINE_CHARS else _BETWEEN_TAGS.split(line)
    return lines


def _as_json(found: Difference, *, is_cut: bool) -> dict[str, Any]:
    return {
        "changes": [{"kind": run.kind.value, "lines": list(run.lines), "count": run.count} for run in found.runs],
        "cut": found.is_cut or is_cut,
        "exact": found.is_exact,
    }
