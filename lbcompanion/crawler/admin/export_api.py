"""Exports archived pages as WACZ: ``/api/export`` and ``/api/sessions/VISITOR/export``.

The file is written to a temporary one first, because the client may be slow, and because errors have to be known before
the response begins.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO, cast

from attrs import evolve
from twisted.protocols.basic import FileSender
from twisted.web.server import Request

from lbcompanion.crawler.admin.endpoint import Call, Endpoint, HttpError, Response, Stream
from lbcompanion.crawler.admin.endpoint_doc import FILTERS, TOKEN, VISITOR, Doc
from lbcompanion.crawler.admin.export_names import export_name
from lbcompanion.crawler.admin.recordings_api import read_query
from lbcompanion.crawler.archive.export import Export, ExportFailed
from lbcompanion.crawler.archive.reading import ArchiveReader
from lbcompanion.crawler.archive.wacz import WaczWriter
from lbcompanion.crawler.crawl.scheduler import Defer
from lbcompanion.crawler.queue.archive_index import ArchiveIndex
from lbcompanion.crawler.queue.database import BacklogError, Database
from lbcompanion.crawler.queue.filters import Filters
from lbcompanion.html.urls import origin_of
from lbcompanion.model import WallClock
from lbcompanion.protocol import shapes
from lbcompanion.protocol.visitors import is_pseudonym

MEDIA_TYPE = "application/wacz"
#: The most pages and bytes of one exported file; the command has no limits.
MAX_PAGES, MAX_BYTES = 10_000, 2 << 30
#: The dashboard's lists show this much of a pseudonym.
SHOWN_VISITOR_CHARS = 8


_PAGES = Doc("Archived pages with their files.", FILTERS, media_type=MEDIA_TYPE)
_WALK = Doc("The archived pages of a visitor with their files.", FILTERS, media_type=MEDIA_TYPE, params=VISITOR)

_ONE = Doc("An archived page with its files.", media_type=MEDIA_TYPE, params=TOKEN)

#: Sends a file, and returns what is to be called when the client has disconnected.
Sender = Callable[[BinaryIO, Request], Callable[[], None]]


class ExportApi:
    """Exports pages, one request at a time.

    :param open_database: opens a further connection to the queue's database, for the thread that exports.
    :param open_reader: makes a reader of the archive, for a database.
    :param in_thread: runs an export on a thread.
    :param send: sends a file to a client; None: as the client takes it in.
    """

    def __init__(
        self,
        *,
        open_database: Callable[[], Database],
        open_reader: Callable[[ArchiveIndex], ArchiveReader],
        in_thread: Defer,
        now: WallClock = time.time,
        send: Sender | None = None,
    ) -> None:
        self._open_database = open_database
        self._open_reader = open_reader
        self._in_thread = in_thread
        self._now = now
        self._send = send or _send
        self._is_busy = False

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        return [
            Endpoint("/api/export", self._export, action="export", doc=_PAGES),
            Endpoint("/api/sessions/{visitor}/export", self._export_walk, action="export", doc=_WALK),
            Endpoint("/api/recordings/{token}/export", self._export_one, action="export", doc=_ONE),
        ]

    async def _export(self, call: Call) -> Response | Stream:
        return await self._exported(call, read_query(call).filters, "pages")

    async def _export_walk(self, call: Call) -> Response | Stream:
        visitor = call.params["visitor"]
        if not is_pseudonym(visitor):
            raise HttpError(404, "no recording of that visitor")
        filters = evolve(read_query(call).filters, visitors=(visitor,))
        return await self._exported(call, filters, f"walk-of-{visitor[:SHOWN_VISITOR_CHARS]}")

    async def _export_one(self, call: Call) -> Response | Stream:
        token = call.params["token"]
        if not shapes.TOKEN.fullmatch(token):
            raise HttpError(404, "no recording of that token")
        return await self._exported(call, Filters(tokens=(token,)), "page")

    async def _exported(self, call: Call, filters: Filters, kind: str) -> Response | Stream:
        if call.request.method == b"HEAD":
            # The name is not known before the pages are read.
            return Response(b"", MEDIA_TYPE, (("content-disposition", "attachment"),))
        if self._is_busy:
            raise HttpError(503, "another export is being written", (("retry-after", "10"),))
        self._is_busy = True
        gone: list[bool] = []
        call.request.notifyFinish().addErrback(lambda _failure: gone.append(True))
        try:
            file, name = await self._in_thread(self._write, filters, kind, gone)
        except ExportFailed as failure:
            raise HttpError(404 if "no archived page" in str(failure) else 409, str(failure)) from None
        finally:
            self._is_busy = False
        fields = (("content-disposition", f'attachment; filename="{name}"'),)
        return Stream(partial(self._send, file), MEDIA_TYPE, fields)

    def _write(self, filters: Filters, kind: str, gone: list[bool]) -> tuple[BinaryIO, str]:
        """Write a temporary file, and return it with the name for the client; runs on a thread."""
        database = self._open_database()
        file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - closed when it was sent
        try:
            export = Export(database, self._open_reader(ArchiveIndex(database)), filters)
            pages = 0
            urls: dict[str, str] = {}
            for page in WaczWriter(file, self._now()).write(export):
                pages += 1
                urls.setdefault(origin_of(page.page.url), page.page.url)
                if gone:
                    raise ExportFailed("the client has disconnected")
                if pages > MAX_PAGES or file.tell() > MAX_BYTES:
                    raise ExportFailed(f"more than {MAX_PAGES} pages or {MAX_BYTES} bytes; use further filters")
            times = export.viewed_between()
            if not pages or times is None:
                raise ExportFailed("no archived page fulfils the conditions")
            name = export_name(kind, urls.values(), *times)
            file.seek(0)
        except BacklogError as failure:
            file.close()
            raise ExportFailed(str(failure)) from None
        except BaseException:
            file.close()
            raise
        finally:
            database.close()
        return file, name


def _send(file: BinaryIO, request: Request) -> Callable[[], None]:
    """Send a file as the client takes it in, and close it."""
    sender = FileSender()
    done: Any = sender.beginFileTransfer(file, request)

    def finish(_last: object) -> None:
        file.close()
        request.finish()

    def stop() -> None:
        # It is called after the file was sent, too.
        if not file.closed:
            sender.stopProducing()

    done.addCallbacks(finish, lambda _failure: file.close())
    return stop
