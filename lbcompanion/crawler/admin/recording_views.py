"""The dashboard's views of one recording beside the replay: its source, its heads, its files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

from lbcompanion.crawler.admin import json_views
from lbcompanion.crawler.admin.asked_files import AskedFiles, script_files
from lbcompanion.crawler.admin.dashboard.rendering import render
from lbcompanion.crawler.admin.endpoint import Call, Endpoint, HttpError, Response, html_response
from lbcompanion.crawler.admin.recordings_api import Recordings
from lbcompanion.crawler.admin.replay_pages import ReplayPages
from lbcompanion.crawler.archive.errors import ArchiveError
from lbcompanion.crawler.crawl.scheduler import Defer
from lbcompanion.crawler.replay.documents import Replayed
from lbcompanion.html.requisite_links import page_encoding
from lbcompanion.html.text_codecs import decode
from lbcompanion.html.tokenizer_patterns import START_TAG, attributes, tag_name, unescaped
from lbcompanion.protocol import headers

#: More of a page's source is not shown; its bytes are at ``/api/recordings/TOKEN/page``.
MAX_SOURCE_BYTES = 2 * 1024 * 1024
_START_TAG = re.compile(START_TAG)
_MASKED_TYPE, _MASKED_AUTOCOMPLETE = "password", "cc-"
_MAY_BE_MASKED = re.compile(rb"type|autocomplete", re.IGNORECASE)


class RecordingViews:
    """Serves the views of one recording.

    :param read: reads the archive on a thread that may wait for an object store.
    :param parse: reads pages on another thread.
    :param asked: the files that scripts asked for; None: there is no listener where recorded pages run their scripts.
    """

    def __init__(
        self, *, recordings: Recordings, replay: ReplayPages, read: Defer, parse: Defer, asked: AskedFiles | None = None
    ) -> None:
        self._recordings = recordings
        self._replay = replay
        self._read = read
        self._parse = parse
        self._asked = asked

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        return [
            Endpoint("/recording/{token}/source", self._source, action="view page"),
            Endpoint("/recording/{token}/headers", self._headers),
            Endpoint("/recording/{token}/files", self._files),
        ]

    async def _source(self, call: Call) -> Response:
        replayed = await self._replay.replayed(call.params["token"])
        body = await self._recordings.archived_body(replayed.row)
        lines, masked = await self._parse(source_lines, body, replayed.recorded.content_type)
        cut = len(body) > MAX_SOURCE_BYTES
        return self._view(call, "recording_source.html", "Source", replayed, lines=lines, masked=masked, is_cut=cut)

    async def _headers(self, call: Call) -> Response:
        replayed = await self._replay.replayed(call.params["token"])
        try:
            warc, http = await self._read(self._replay.files.head, replayed.recorded)
        except ArchiveError as failure:
            raise HttpError(500, str(failure)) from None
        left_out = replayed.recorded.page.fields.get(headers.FIELDS_LEFT_OUT.text.lower(), "")
        return self._view(call, "recording_headers.html", "Headers", replayed, warc=warc, http=http, left_out=left_out)

    async def _files(self, call: Call) -> Response:
        replayed = await self._replay.replayed(call.params["token"])
        page = await self._replay.rewritten(replayed)
        reasons = {**page.missing, **replayed.reasons}
        asked = self._asked.of(replayed.token) if self._asked is not None else []
        return self._view(
            call,
            "recording_files.html",
            "Files",
            replayed,
            files=list(replayed.recorded.files.values()),
            missing=sorted(reasons.items()),
            lent=replayed.lent(),
            refresh=page.refresh,
            scripts=page.scripts,
            asked=asked,
            setting=script_files(asked, replayed.url),
        )

    def _view(self, call: Call, template: str, tab: str, replayed: Replayed, **values: Any) -> Response:
        each: Mapping[str, Any] = json_views.recording(replayed.row)
        shown = {"tab": tab, "each": each, "runs_scripts": self._asked is not None, **values}
        return html_response(render(template, here="", user=call.user, **shown))


def source_lines(body: bytes, content_type: str) -> tuple[list[Markup], int]:
    """Return the lines of a page, with the elements marked that a mask usually empties, and how many these are."""
    encoding = page_encoding(body[:MAX_SOURCE_BYTES], content_type)
    text = decode(body[:MAX_SOURCE_BYTES], encoding).encode("utf-8", "replace")
    parts: list[Markup] = []
    position = masked = 0
    for tag in _START_TAG.finditer(text):
        if _is_masked(tag[0]):
            parts.append(escape(text[position : tag.start()].decode("utf-8")))
            shown = " ".join(re.split("\r\n|\r|\n", tag[0].decode("utf-8")))  # a mark ends in its line
            parts.append(Markup('<mark title="A mask may have emptied this element">{}</mark>').format(shown))
            position, masked = tag.end(), masked + 1
    parts.append(escape(text[position:].decode("utf-8")))
    whole = Markup("").join(parts).replace("\r\n", "\n").replace("\r", "\n")
    return [Markup(line) for line in whole.split("\n")], masked


def _is_masked(tag: bytes) -> bool:
    """Whether the masks select an element unless a node's configuration changes them."""
    if tag_name(tag) in (b"script", b"style") or not _MAY_BE_MASKED.search(tag):
        return False
    found = attributes(tag)
    return (
        unescaped(found.get(b"type", b"")).lower() == _MASKED_TYPE
        or _MASKED_AUTOCOMPLETE in unescaped(found.get(b"autocomplete", b"")).lower()
    )
