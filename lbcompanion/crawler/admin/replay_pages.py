"""The replay: a recorded page from the archive alone, and what belongs to it.

Three things keep a recorded page from reaching anybody: it is rewritten
(:mod:`lbcompanion.crawler.replay.html_rewriting`), its policy allows nothing but the listener's own files, and the
sandbox stops scripts, forms, new windows, downloads and the navigation of other frames. The sandbox leaves the page its
origin, the listener's: with an opaque one, browsers would show no fonts and no ``<use>`` of other files, and would send
no cookie of a login. Without scripts a page cannot use its origin for anything else.
"""

from __future__ import annotations

from typing import Any

from lbcompanion.crawler.admin import json_views
from lbcompanion.crawler.admin.dashboard.rendering import render
from lbcompanion.crawler.admin.endpoint import HTML, Call, Endpoint, HttpError, Response, html_response
from lbcompanion.crawler.admin.recordings_api import Recordings
from lbcompanion.crawler.archive.errors import ArchiveError, FileOfAnotherCrawler
from lbcompanion.crawler.archive.reading import ArchiveReader
from lbcompanion.crawler.crawl.scheduler import Defer
from lbcompanion.crawler.queue.database import Database
from lbcompanion.crawler.replay.addresses import REPLAY_PREFIX, kind_of, replay_address
from lbcompanion.crawler.replay.documents import LIMITS, Replayed, placeholder, small_placeholder
from lbcompanion.crawler.replay.html_rewriting import RewrittenPage
from lbcompanion.crawler.replay.nearest import Near, Nearest
from lbcompanion.crawler.replay.recorded_files import Recorded, RecordedFiles
from lbcompanion.html.encoding_labels import encoding_of

#: CSP of a recorded page. There is no ``allow-scripts``, and there must never be one beside ``allow-same-origin``.
REPLAY_POLICY = (
    "sandbox allow-same-origin; default-src 'none'; script-src 'none'; img-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; font-src 'self' data:; media-src 'self'; frame-src 'self'; object-src 'self'; "
    "connect-src 'none'; worker-src 'none'; manifest-src 'none'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'"
)
#: CSP of a recorded file, should a browser show it as a document.
FILE_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:"

#: Fields of all parts of a replay.
REPLAY_FIELDS = (("x-dns-prefetch-control", "off"), ("x-robots-tag", "noindex, nofollow"))
_SHOWN_TYPES = frozenset({"image", "svg", "font", "media"})


class ReplayPages:
    """Serves replays.

    :param defer: runs calls on the thread of the database.
    :param read: reads the archive on a thread that may wait for an object store.
    :param parse: rewrites pages on another thread.
    """

    def __init__(
        self,
        *,
        recordings: Recordings,
        reader: ArchiveReader,
        database: Database,
        defer: Defer,
        read: Defer,
        parse: Defer,
    ) -> None:
        self._recordings = recordings
        self._reader = reader
        self._nearest = Nearest(database)
        self.files = RecordedFiles(reader)
        self._defer = defer
        self._read = read
        self._parse = parse

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        return [
            Endpoint("/replay/{token}", self._to_page),
            Endpoint("/replay/{token}/", self._page, action="view page"),
            Endpoint("/replay/{token}/file", self._file),
            Endpoint("/replay/{token}/style/{encoding}", self._style),
            Endpoint("/replay/{token}/missing", self._missing),
            Endpoint("/replay/{token}/link", self._link),
            Endpoint("/replay/{token}/frame", self._frame),
        ]

    async def replayed(self, token: str, prefix: str = REPLAY_PREFIX, *, has_scripts: bool = False) -> Replayed:
        """Return what the replay of a recording needs.

        :param prefix: what the addresses of the replay begin with.
        :param has_scripts: whether the page keeps its scripts.
        :raises HttpError: 404 if it is not archived, or in a file of another crawler; 500 if it cannot be read.
        """
        row = await self._recordings.row(token)
        if not row["warc_file"]:
            raise HttpError(404, "that page is not archived")
        try:
            recorded = await self._recorded(row["warc_file"], row["warc_offset"])
        except FileOfAnotherCrawler as failure:
            raise HttpError(404, str(failure)) from None
        except ArchiveError as failure:
            moved = await self._recordings.row(token)
            if (moved["warc_file"], moved["warc_offset"]) == (row["warc_file"], row["warc_offset"]):
                raise HttpError(500, str(failure)) from None
            # Its file was rewritten in between, without the records of erased recordings.
            row = moved
            recorded = await self._recorded(row["warc_file"], row["warc_offset"])
        each = json_views.recording(row)
        report = each["requisites"] or {}
        reasons = {one["url"]: one["reason"] for one in report.get("missing", ())}
        lends = not report or any(reason.startswith(LIMITS) for reason in reasons.values())
        others = await self._others(row) if lends else ()
        return Replayed(token, each["url"], row, recorded, reasons, others, prefix, has_scripts)

    async def _others(self, row: Any) -> tuple[Recorded, ...]:
        found = []
        for near in await self._defer(self._nearest.neighbours, row):
            try:
                found.append(await self._recorded(near.file, near.offset))
            except ArchiveError:
                continue  # the page is shown without its files
        return tuple(found)

    async def _recorded(self, file: str, offset: int) -> Recorded:
        place = await self._defer(self._reader.place_of, file)
        recorded: Recorded = await self._read(self.files.read, file, offset, place)
        return recorded

    async def rewritten(self, replayed: Replayed) -> RewrittenPage:
        """Return the page as it is shown."""
        body = await self._recordings.archived_body(replayed.row)
        page: RewrittenPage = await self._parse(replayed.page, body)
        return page

    async def _to_page(self, call: Call) -> Response:
        return _redirect(replay_address(call.params["token"]))

    async def _page(self, call: Call) -> Response:
        page = await self.rewritten(await self.replayed(call.params["token"]))
        return _document(page.body)

    async def _content(self, replayed: Replayed, url: str) -> tuple[bytes, str]:
        """Return a file and its type.

        :raises HttpError: 404 if the recording and those near it do not have it.
        """
        for recorded in (replayed.recorded, *replayed.others):
            file = recorded.files.get(url)
            if file is None:
                continue
            is_revisit = file.kind == "revisit"
            pages = await self._defer(self._nearest.pages_with, recorded.file, file) if is_revisit else []
            try:
                return await self._read(self.files.body, recorded, file, pages), file.content_type
            except ArchiveError as failure:
                raise HttpError(500, str(failure)) from None
        raise HttpError(404, "the recording does not have that file")

    async def _file(self, call: Call) -> Response:
        return await self.file(await self.replayed(call.params["token"]), call.argument("url"))

    async def file(self, replayed: Replayed, url: str) -> Response:
        """Return a file that is no style sheet. Scripts have their type only where they may run."""
        body, content_type = await self._content(replayed, url)
        kind = kind_of(content_type)
        is_shown = kind in _SHOWN_TYPES or (kind == "script" and replayed.has_scripts)
        shown = content_type if is_shown and content_type.isprintable() else "application/octet-stream"
        return Response(body, shown, (("content-security-policy", FILE_POLICY), *REPLAY_FIELDS))

    async def _style(self, call: Call) -> Response:
        replayed = await self.replayed(call.params["token"])
        return await self.style(replayed, call.argument("url"), call.params["encoding"])

    async def style(self, replayed: Replayed, url: str, label: str) -> Response:
        """Return a style sheet.

        :param label: of the encoding of the document that refers to it.
        """
        body, content_type = await self._content(replayed, url)
        if kind_of(content_type) != "style":
            raise HttpError(404, "that file is no style sheet")
        environment = encoding_of(label) or "utf-8"
        style: bytes = await self._parse(replayed.style_sheet, body, url, content_type, environment)
        return Response(style, "text/css; charset=utf-8", (("content-security-policy", FILE_POLICY), *REPLAY_FIELDS))

    async def _missing(self, call: Call) -> Response:
        return self.missing(await self.replayed(call.params["token"]), call.argument("url"))

    def missing(self, replayed: Replayed, url: str, *, is_small: bool = False) -> Response:
        """Return a drawing in the place of an image that is not recorded.

        :param is_small: whether it has the size of an icon.
        """
        reason = replayed.addresses("utf-8").reason(url)
        drawing = (small_placeholder if is_small else placeholder)(reason, url).encode("utf-8", "replace")
        return Response(drawing, "image/svg+xml", (("content-security-policy", FILE_POLICY), *REPLAY_FIELDS))

    async def _link(self, call: Call) -> Response:
        row = await self._recordings.row(call.params["token"])
        return await self._to_nearest(row, call.argument("url"), "link")

    async def _frame(self, call: Call) -> Response:
        replayed = await self.replayed(call.params["token"])
        url = call.argument("url")
        drawing = await self.drawing(replayed, url)
        return _document(drawing) if drawing is not None else await self._to_nearest(replayed.row, url, "frame")

    async def drawing(self, replayed: Replayed, url: str) -> bytes | None:
        """Return a file of the recording that is shown as a document; None if it is none."""
        file = replayed.recorded.files.get(url)
        if file is None or kind_of(file.content_type) != "svg":
            return None
        body, _content_type = await self._content(replayed, url)
        document: bytes = await self._parse(replayed.drawing, body, url)
        return document

    async def _to_nearest(self, row: Any, url: str, use: str) -> Response:
        near = await self.nearest(row, url)
        if near is not None:
            return _redirect(replay_address(near.token))
        scheme = url.partition(":")[0].strip().lower()
        back = replay_address(row["token"])
        page = render("replay_missing.html", url=url[:2000], back=back, is_frame=use == "frame", scheme=scheme)
        return html_response(page, 404)

    async def nearest(self, row: Any, url: str) -> Near | None:
        """Return the recording that is shown for an address; None if there is none."""
        if not url.isprintable() or not url.startswith(("http://", "https://")):  # PostgreSQL refuses NUL
            return None
        found: Near | None = await self._defer(self._nearest.recording, url, row)
        return found


def _redirect(address: str) -> Response:
    return Response(b"", HTML, (("location", address),), 302)


def _document(body: bytes) -> Response:
    return Response(body, HTML, (("content-security-policy", REPLAY_POLICY), *REPLAY_FIELDS))
